"""Messages as they stood at an event: what came later is not yet known."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel import col

from models import Event, Message
from models.errors import SPECIFICITY, ErrorClass
from models.status import FAILURE_BITS, OUTCOME, Outcome, conflict, delivered_as, status_of
from receiver.db import snapshot
from receiver.read import shapes, views
from receiver.read.records import by_ids, in_full


class _Told(NamedTuple):
    """What of an event counts in its message."""

    seq: int
    bits: int
    replay: int
    superseded: bool
    error_class: str | None
    provider_code: str | None
    provider_message: str | None
    received_at: datetime


async def messages_as_of(
    engine: AsyncEngine, events: Sequence[shapes.Event]
) -> dict[UUID, shapes.Message | None]:
    """For each of *events*, by its id: its message, with the status and all that follows from it as it was
    then. None where the event is about no message, or about none that is kept."""
    if not events:
        return {}
    last = max(event.sequence for event in events)
    async with snapshot(engine) as session:
        rows = await by_ids(session, {event.message_id for event in events if event.message_id}, None)
        messages = {row.id: row for row in rows.values()}
        shown = {of.id: of for of in await in_full(session, list(messages.values()))}
        query = (
            sa.select(col(Event.message_id), *(col(getattr(Event, name)) for name in _Told._fields))
            .where(col(Event.message_id).in_(messages), col(Event.seq) <= last)
            .order_by(col(Event.seq))
        )
        told: dict[UUID, list[_Told]] = defaultdict(list)
        for message_id, *rest in await session.execute(query):
            told[message_id].append(_Told(*rest))
    return {
        event.id: _as_of(row, shown[row.id], told[row.id], event.sequence)
        if event.message_id and (row := rows.get(event.message_id))
        else None
        for event in events
    }


def _as_of(row: Message, shown: shapes.Message, told: Sequence[_Told], sequence: int) -> shapes.Message:
    known = [event for event in told if event.seq <= sequence]
    # an event that a replay replaced counted until that replay
    replay = max((event.replay for event in known), default=0)
    standing = [event for event in known if not event.superseded or event.replay == replay]
    seen = 0
    for event in standing:
        seen |= event.bits
    status = status_of(seen, row.origin)
    failed = OUTCOME[status] is Outcome.FAILURE
    return shown.model_copy(
        update={
            "status": status,
            "outcome": OUTCOME[status],
            "error": _error(standing) if failed else None,
            "conflict": conflict(seen),
            "delivered_as": delivered_as(seen),
            "updated_at": max((event.received_at for event in known), default=shown.updated_at),
        }
    )


def _error(standing: Sequence[_Told]) -> shapes.Error:
    """Of several failures the most specific class, ties by code: as `postback.attend` chooses."""
    failures = [event for event in standing if event.bits & FAILURE_BITS]
    chosen = min(failures, key=_rank)
    return views.error(chosen.error_class, chosen.provider_code, chosen.provider_message)


def _rank(event: _Told) -> tuple[int, bool, str, bool, str]:
    rank = SPECIFICITY[ErrorClass(event.error_class)] if event.error_class else -1
    code, text = event.provider_code, event.provider_message
    return -rank, code is None, code or "", text is None, text or ""
