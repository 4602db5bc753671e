"""Messages and reports written the way the product writes them: through its SQL functions."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from models.events import Event
from models.status import STATUS_BIT, Correlation, Status, bits
from receiver.correlate import key, others_of, rows
from receiver.rows import EventRow, MediaRow, MessageRow, PayloadRow
from receiver.sources import Source
from tests.support.beds import connect
from tests.support.functions import called

CHANNEL, PROVIDER = "sinch-us", "sinch_mms"


async def tell(
    database_url: str,
    *events: Event,
    channel: str = CHANNEL,
    state: str = "applied",
    body: bytes = b"{}",
    others: frozenset[str] = frozenset(),
) -> UUID:
    """One carrier's request with *events*; answers with its payload's id. *others* are numbers of other
    channels alone."""
    payload_id, received_at = uuid7(), datetime.now(UTC)
    payload = PayloadRow(
        payload_id, channel, state, None, "POST", "a=1", '{"content-type": "application/json"}', body,
        "198.51.100.7", received_at,
    )  # fmt: skip
    made = rows(events, Source(channel, PROVIDER, "+18885551234", others=others), payload_id, received_at)
    await _call(
        database_url,
        called("SELECT * FROM postback.ingest($1, $2, $3, $4, $5, $6)"),
        [payload],
        made.events,
        made.inbounds,
        made.files,
        made.templates,
        others_of([made]),
    )
    return payload_id


async def accept(database_url: str, *messages: MessageRow, media: Sequence[MediaRow] = ()) -> list[UUID]:
    """Sends taken into the outbox; answers with their ids."""
    await _call(
        database_url,
        called("SELECT * FROM postback.submit($1, $2, $3, $4, 'outbox')"),
        [],
        list(messages),
        list(media),
        [own_event(message.id, Status.ACCEPTED, source="api") for message in messages],
    )
    return [message.id for message in messages]


async def settle(
    database_url: str,
    message_id: UUID,
    status: Status,
    *,
    provider_message_id: str | None = None,
    channel: str = CHANNEL,
) -> None:
    """What our own call to the carrier came to."""
    event = own_event(message_id, status, source="sender", channel=channel)
    await _call(
        database_url,
        called("SELECT postback.settle($1, $2, $3)"),
        [],
        [event._replace(provider_message_id=provider_message_id)],
        [],
    )


def outgoing(to: str = "+12065550123", **values: Any) -> MessageRow:
    """A message to send, as `accept` takes it."""
    row = MessageRow(
        id=uuid7(), request=0, batch=uuid7(),
        channel=CHANNEL, provider=PROVIDER, kind="mms", our_number="+18885551234",
        contact=to, client_reference=None, conversation=uuid7(), text="Hello", subject=None,
        fallback_text=None, expires_at=None, template_id=None, options="{}", metadata="{}",
    )  # fmt: skip
    return row._replace(**values)


def own_event(message_id: UUID, status: Status, *, source: str, channel: str = CHANNEL) -> EventRow:
    correlation = Correlation.OWN_ID if source == "sender" else None
    return EventRow(
        message_id=message_id, submission_id=None, provider_message_id=None, batch_recipient="",
        inbound=False, candidate=None, channel=channel, provider=PROVIDER, kind="mms", our_number=None,
        contact=None, client_reference=None, id=uuid7(), key=key(source, status), type=f"message.{status}",
        status=status, bits=bits(status, correlation=correlation) or STATUS_BIT[status], source=source,
        part=0, attempt=1, provider_status=None, provider_code=None, provider_message=None,
        error_class=None, error_specificity=None, occurred_at=None, received_at=datetime.now(UTC),
        payload_id=None,
    )  # fmt: skip


async def _call(database_url: str, statement: str, *arguments: Any) -> None:
    connection = await connect(database_url)
    try:
        await connection.fetch(statement, *arguments)
    finally:
        await connection.close()
