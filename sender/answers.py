"""What carriers tell when they are asked, kept like what they send by themselves: the answer is a payload."""

from datetime import UTC, datetime

import orjson
import structlog
from uuid_utils.compat import uuid7

from models.events import Answer, Event, Unreadable
from receiver.correlate import Source
from receiver.ingest import Arrival, Ingest
from receiver.rows import PayloadRow

log = structlog.get_logger()


async def keep(ingest: Ingest, source: Source, answer: Answer, events: list[Event] | Unreadable) -> None:
    """Stores *answer* and what it tells, or why it cannot be read. Raises ``Unavailable``.

    The call that it answers is left out: its address and headers may hold credentials.
    """
    unreadable = isinstance(events, Unreadable)
    if unreadable:
        log.warning("unreadable answer", channel=source.channel, reason=str(events))
    payload = PayloadRow(
        id=uuid7(),
        channel=source.channel,
        state="quarantined" if unreadable else "applied",
        reason=str(events) if unreadable else None,
        method="ANSWER",
        query="",
        headers=orjson.dumps({"content-type": answer.headers.get("content-type", "")}).decode(),
        body=answer.body,
        peer=None,
        received_at=datetime.now(UTC),
    )
    await ingest.put(Arrival(payload, source, [] if isinstance(events, Unreadable) else events))
