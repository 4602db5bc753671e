"""What a carrier told, as rows by which Postgres finds the message: our id first, then the carrier's.

Pure. The finding itself, with its locks and its adoptions, is ``receiver/sql/resolve.sql``.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from uuid import UUID

import orjson

from models.errors import SPECIFICITY, ErrorClass
from models.events import Event, Inbound, Report, TemplateReport
from models.reference import FOREIGN_REFERENCE, NAMELESS_REPORT, TIMED_INBOUND, UNTIMED_INBOUND
from models.status import CORRELATION_BIT, STATUS_BIT, Correlation, Status, bits
from receiver.keywords import Meaning, Verdict, verdict
from receiver.media import Link, arrived, unpacked
from receiver.optouts import OptOuts
from receiver.our_numbers import is_foreign, nameless
from receiver.rows import EventRow, InboundRow, MediaRow, TemplateRow, new_id, wire_uuid
from receiver.sources import Source

#: the index on references holds no longer ones
LONGEST_ID = 255
#: members of a group: replies go to no more, and its conversation is found by these
MOST_PARTICIPANTS = 100


@dataclass(slots=True)
class Rows:
    """What one request adds to a batch. *foreign* are the numbers of other channels that its messages were
    written to; *others* are all such numbers by its channel, where Postgres has to tell them from its own."""

    events: list[EventRow] = field(default_factory=list)
    inbounds: list[InboundRow] = field(default_factory=list)
    files: list[MediaRow] = field(default_factory=list)
    templates: list[TemplateRow] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    others: dict[str, list[str]] = field(default_factory=dict)


def rows(
    events: Sequence[Event],
    source: Source,
    payload_id: UUID,
    received_at: datetime,
    link: Link | None = None,
    opt_outs: OptOuts = OptOuts(),  # noqa: B008 - it never changes
) -> Rows:
    """The rows of one request's events, in their order. *link* makes the addresses of files that came
    inside; without it their bytes are not stored."""
    made = Rows()
    for event in events:
        if isinstance(event, Report):
            made.events.append(_report(event, source, payload_id, received_at))
        elif isinstance(event, Inbound):
            _add_inbound(made, event, source, payload_id, received_at, link, opt_outs)
        else:
            made.templates.append(_template(event, source))
    if source.others and any(map(_takes_a_number, made.events)):
        made.others = {source.channel: sorted(source.others)}
    return made


def others_of(made: Iterable[Rows]) -> str:
    """Returns the numbers that are foreign to the channels of *made*, as the SQL functions take them."""
    return orjson.dumps({name: listed for one in made for name, listed in one.others.items()}).decode()


def _takes_a_number(row: EventRow) -> bool:
    """Returns whether Postgres takes our number from an earlier message, to file what came in or an opt-out,
    or may give it to one that went out without any."""
    return row.inbound == (row.our_number is None) or row.error_class == ErrorClass.OPTED_OUT


def key(*identity: str | None) -> UUID:
    """The identity of an event within its message, as 128 bits of its SHA-256."""
    return wire_uuid(sha256(orjson.dumps(identity)).digest()[:16])


def _report(report: Report, source: Source, payload_id: UUID, received_at: datetime) -> EventRow:
    provider_message_id, submission_id = report.provider_message_id, _own_id(report.client_reference)
    if provider_message_id is None and (submission_id is None or source.app_references):
        provider_message_id = _internal_id(report, source)
    return EventRow(
        submission_id=submission_id,
        provider_message_id=provider_message_id,
        batch_recipient=report.batch_recipient,
        candidate=new_id(),
        channel=source.channel,
        provider=source.provider,
        kind=report.kind,
        our_number=report.sender,
        contact=report.recipient,
        client_reference=report.client_reference,
        guess_since=received_at - source.guess_within if source.guess_within else None,
        guess_calling=source.guess_calling,
        id=new_id(),
        key=key(*report.identity),
        type=f"message.{report.status}" if report.status else "message.unmapped",
        status=report.status,
        bits=bits(report.status, delivered_as=report.delivered_as),
        source="report",
        part=report.part,
        provider_status=report.provider_status,
        provider_code=report.provider_code,
        provider_message=report.provider_message,
        error_class=report.error,
        error_specificity=SPECIFICITY[report.error] if report.error else None,
        occurred_at=report.occurred_at,
        received_at=received_at,
        payload_id=payload_id,
    )


def _internal_id(report: Report, source: Source) -> str:
    """Returns what a report without a carrier's id is known by: the reference that it names or, where several
    messages of ours may have that, itself."""
    if report.client_reference is not None and not source.app_references:
        return (FOREIGN_REFERENCE + report.client_reference)[:LONGEST_ID]
    return f"{NAMELESS_REPORT}{key(*report.identity)}"


def _add_inbound(
    made: Rows,
    inbound: Inbound,
    source: Source,
    payload_id: UUID,
    received_at: datetime,
    link: Link | None,
    opt_outs: OptOuts,
) -> None:
    inbound = unpacked(inbound)
    candidate, identity = new_id(), key("inbound", *inbound.identity)
    recipient, metadata = inbound.recipient, dict(inbound.metadata)
    if recipient is not None and is_foreign(recipient, source.others):
        made.foreign.append(recipient)
        metadata["foreign_number"] = recipient
        recipient = nameless(source.channel)
    provider_message_id, seen = inbound.provider_message_id, STATUS_BIT[Status.RECEIVED]
    if provider_message_id is None and inbound.occurred_at:
        provider_message_id = f"{TIMED_INBOUND}{identity}"
    elif provider_message_id is None:
        provider_message_id = f"{UNTIMED_INBOUND}{identity}"
        seen |= CORRELATION_BIT[Correlation.GUESSED]
    made.events.append(
        EventRow(
            provider_message_id=provider_message_id,
            inbound=True,
            candidate=candidate,
            channel=source.channel,
            provider=source.provider,
            kind=inbound.kind,
            our_number=recipient,
            contact=inbound.sender,
            id=new_id(),
            key=identity,
            type="message.received",
            status=Status.RECEIVED,
            bits=seen,
            source="report",
            provider_status=inbound.provider_status,
            occurred_at=inbound.occurred_at,
            received_at=received_at,
            payload_id=payload_id,
        )
    )
    asked = verdict(inbound.text or inbound.subject)
    made.inbounds.append(
        InboundRow(
            candidate=candidate,
            conversation=new_id(),
            our_number=source.our_number,
            answers=inbound.answers,
            text=inbound.text,
            subject=inbound.subject,
            participants=list(inbound.participants[:MOST_PARTICIPANTS]),
            thread=_thread(inbound),
            metadata=orjson.dumps({**marks(asked), **metadata, **_left_out(inbound)}).decode(),
            consent=opt_outs.asked(asked, candidate, source.channel, inbound.sender, received_at, payload_id)
            if asked
            else None,
        )
    )
    made.files.extend(arrived(candidate, position, part, link) for position, part in enumerate(inbound.media))


def _thread(inbound: Inbound) -> str | None:
    """Who the conversation is with: the sender, or everybody in the group but us."""
    if not inbound.participants:
        return inbound.sender
    everybody = sorted({*inbound.participants, inbound.sender or ""} - {inbound.recipient, ""})
    return ",".join(everybody[:MOST_PARTICIPANTS]) or None


def _left_out(inbound: Inbound) -> dict[str, int]:
    more = len(inbound.participants) - MOST_PARTICIPANTS
    return {"participants_not_taken": more} if more > 0 else {}


def marks(asked: Verdict | None) -> dict[str, str]:
    """What an app should see of a word that opts nobody in or out."""
    marked = {Meaning.HELP: "asks_for_help", Meaning.PERHAPS_STOP: "perhaps_opts_out"}
    return {marked[asked.meaning]: asked.word} if asked and asked.meaning in marked else {}


def _template(report: TemplateReport, source: Source) -> TemplateRow:
    return TemplateRow(
        template_id=None,
        submission_id=_own_id(report.client_reference),
        candidate=new_id(),
        channel=source.channel,
        provider=source.provider,
        provider_template_id=report.provider_template_id,
        state=report.state,
        error_class=report.error,
        error_code=report.provider_status if report.error else None,
        error_message=report.provider_message if report.error else None,
        provider_message_id=report.provider_message_id,
    )


def _own_id(client_reference: str | None) -> UUID | None:
    """The submission that the carrier echoes; ours are UUIDs in their usual 36 characters."""
    if client_reference is None or len(client_reference) != 36:
        return None
    try:
        return wire_uuid(client_reference)
    except ValueError:
        return None
