"""Messages as they stood at an event: what came later is not yet known."""

from collections import defaultdict
from collections.abc import Sequence
from uuid import UUID

from models.errors import SPECIFICITY, class_of
from models.status import FAILURE_BITS, OUTCOME, Outcome, conflict, delivered_as, status_of
from receiver.read import shapes, views
from receiver.read.records import by_ids
from receiver.reader import Reader, Row

_WHAT_COUNTS = """
    SELECT message_id, seq, bits, replay, superseded, error_class, provider_code, provider_message,
           received_at
    FROM postback.event WHERE message_id = ANY($1) AND seq <= $2 ORDER BY seq"""


async def messages_as_of(reader: Reader, events: Sequence[shapes.Event]) -> dict[UUID, shapes.Message | None]:
    """For each of *events*, by its id: its message, with the status and all that follows from it as it was
    then. None where the event is about no message, or about none that is kept."""
    if not events:
        return {}
    last = max(event.sequence for event in events)
    async with reader.snapshot() as snapshot:
        about = {event.message_id for event in events if event.message_id}
        records = await by_ids(snapshot, about, None)
        shown = {record.id: views.message(record, snapshot.sight) for record in records.values()}
        told: dict[UUID, list[Row]] = defaultdict(list)
        for row in await snapshot.rows(_WHAT_COUNTS, [record.id for record in records.values()], last):
            told[row.message_id].append(row)
    return {
        event.id: _as_of(shown[record.id], told[record.id], event.sequence)
        if event.message_id and (record := records.get(event.message_id))
        else None
        for event in events
    }


def _as_of(shown: shapes.Message, told: Sequence[Row], sequence: int) -> shapes.Message:
    known = [event for event in told if event.seq <= sequence]
    # an event that a replay replaced counted until that replay
    replay = max((event.replay for event in known), default=0)
    standing = [event for event in known if not event.superseded or event.replay == replay]
    seen = 0
    for event in standing:
        seen |= event.bits
    status = status_of(seen, shown.origin)
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


def _error(standing: Sequence[Row]) -> shapes.Error:
    """Of several failures the most specific class, ties by code: as `postback.attend` chooses."""
    failures = [event for event in standing if event.bits & FAILURE_BITS]
    chosen = min(failures, key=_rank)
    return views.error(chosen.error_class, chosen.provider_code, chosen.provider_message)


def _rank(event: Row) -> tuple[int, bool, str, bool, str]:
    rank = SPECIFICITY[class_of(event.error_class)] if event.error_class else -1
    code, text = event.provider_code, event.provider_message
    return -rank, code is None, code or "", text is None, text or ""
