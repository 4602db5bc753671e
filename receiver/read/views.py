"""Rows as answers: what is stored once, in a few bits, said in full."""

from typing import Any

from models.errors import advice, class_of
from models.status import OUTCOME, Outcome, conflict, correlation_of, delivered_as, status_of
from receiver import segments
from receiver.read import ids, shapes
from receiver.reader import Row, Sight


def _segments(kind: str, text: str | None) -> int | None:
    """An MMS is one; of an SMS whose text nobody told us, nobody knows."""
    if kind == "mms":
        return 1
    return segments.count(text) if text is not None else None


def message(row: Row, sight: Sight) -> shapes.Message:
    """A message in full, of a `receiver.read.records.Record`. One that is external, or past the retention of
    its body, has no content. *sight* says whether one that came in can be answered,
    and where its files are."""
    outbound = row.direction == "outbound"
    status = status_of(row.seen, row.origin)
    failed = OUTCOME[status] is Outcome.FAILURE
    return shapes.Message.model_validate(
        {
            "id": row.id,
            "direction": row.direction,
            "origin": row.origin,
            "channel": row.channel,
            "provider": row.provider,
            "kind": row.kind,
            "from": row.our_number if outbound else row.contact,
            "to": row.contact if outbound else row.our_number,
            "text": row.text,
            "subject": row.subject,
            "media": [file | {"url": sight.address(file)} for file in row.media or ()],
            "slides": _slides(row),
            "status": status,
            "outcome": OUTCOME[status],
            "error": error(row.error_class, row.error_code, row.error_message) if failed else None,
            "conflict": conflict(row.seen),
            "delivered_as": delivered_as(row.seen),
            "correlation": correlation_of(row.seen),
            "client_reference": row.client_reference,
            "wire_reference": row.wire_reference,
            "provider_message_ids": sorted(set(row.provider_message_ids)),
            "conversation_id": row.conversation_id,
            "can_reply": None
            if outbound or sight.replies is None
            else can_reply(sight.replies.refusal(row.our_number, row.contact, row.channel)),
            "in_reply_to": row.in_reply_to,
            "segments": _segments(row.kind, row.text),
            "fallback_text": row.fallback_text,
            "send_at": row.send_at,
            "expires_at": row.expires_at,
            "options": row.options or {},
            "metadata": row.metadata_ or {},
            "created_at": ids.created_at(row.id),
            "updated_at": row.updated_at,
            "redacted_at": row.redacted_at,
        }
    )


def _slides(row: Row) -> list[dict[str, Any]] | None:
    at = {file["position"]: file["id"] for file in row.media or ()}
    return row.slides and [
        {"media": [at[place] for place in slide["media"] if place in at], "text": slide["text"]}
        for slide in row.slides
    ]


def can_reply(refusal: str | None) -> shapes.CanReply:
    return shapes.CanReply(ok=refusal is None, reason=refusal)


def event(row: Row, of: Row | None, *, about: tuple[str, str] | None = None) -> shapes.Event:
    """One entry in the timeline of the message *of*, None where it is about none that is kept; of a contact
    event, *about* are our number and the contact."""
    our_number, contact = about or (None, None)
    return shapes.Event.model_validate(
        {
            "id": row.id,
            "cursor": ids.cursor_of_sequence(row.seq),
            "sequence": row.seq,
            "version": row.version,
            "type": row.type,
            # what somebody said through the API is in no message, and stands under an id of its own
            "message_id": None if about and of is None else row.message_id,
            "conversation_id": of.conversation_id if of else None,
            "channel": row.channel or None,
            "status": row.status,
            "effective": row.effective,
            "source": row.source,
            "provider_status": row.provider_status,
            "provider_code": row.provider_code,
            "provider_message": row.provider_message,
            "client_reference": of.client_reference if of else None,
            "occurred_at": row.occurred_at,
            "received_at": row.received_at,
            "payload_id": row.payload_id,
            "superseded": row.superseded,
            "replay": row.replay,
            "our_number": our_number,
            "contact": contact,
        }
    )


def error(error_class: str | None, code: str | None, text: str | None) -> shapes.Error:
    """A failure and what to do about it; one without a class is ``unknown``, never a guess."""
    known = class_of(error_class)
    advised = advice(known)
    return shapes.Error.model_validate(
        {
            "class": known,
            "code": code,
            "message": text,
            "next_step": advised.next_step,
            "retry": advised.retry,
        }
    )
