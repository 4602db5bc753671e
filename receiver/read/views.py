"""Rows as answers: what is stored once, in a few bits, said in full."""

from collections.abc import Sequence

import models
from models.errors import ErrorClass, advice
from models.status import OUTCOME, Outcome, conflict, correlation_of, delivered_as, status_of
from receiver import segments
from receiver.read import ids, shapes


def _segments(kind: str, body: models.MessageBody | None) -> int | None:
    """An MMS is one; of an SMS whose text nobody told us, nobody knows."""
    if kind == "mms":
        return 1
    return segments.count(body.text) if body and body.text is not None else None


def message(
    row: models.Message,
    *,
    body: models.MessageBody | None,
    attention: models.Attention | None,
    media: Sequence[models.Media],
    provider_message_ids: Sequence[str],
) -> shapes.Message:
    """A message in full. Without a *body* (external, or past its retention) it has no content."""
    outbound = row.direction == "outbound"
    status = status_of(row.seen, row.origin)
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
            "text": body.text if body else None,
            "subject": body.subject if body else None,
            "media": [_media(file) for file in media],
            "status": status,
            "outcome": OUTCOME[status],
            "error": _failure(attention) if OUTCOME[status] is Outcome.FAILURE else None,
            "conflict": conflict(row.seen),
            "delivered_as": delivered_as(row.seen),
            "correlation": correlation_of(row.seen),
            "client_reference": row.client_reference,
            "provider_message_ids": provider_message_ids,
            "conversation_id": row.conversation_id,
            "in_reply_to": row.in_reply_to,
            "segments": _segments(row.kind, body),
            "metadata": body.metadata_ if body else {},
            "created_at": ids.created_at(row.id),
            "updated_at": row.updated_at,
            "redacted_at": body.redacted_at if body else None,
        }
    )


def event(
    row: models.Event, of: models.Message | None, *, about: tuple[str, str] | None = None
) -> shapes.Event:
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
    known = ErrorClass(error_class or ErrorClass.UNKNOWN)
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


def _failure(attention: models.Attention | None) -> shapes.Error:
    if attention is None:
        return error(None, None, None)
    return error(attention.error_class, attention.error_code, attention.error_message)


def _media(row: models.Media) -> shapes.Media:
    return shapes.Media.model_validate(row, from_attributes=True)
