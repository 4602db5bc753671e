"""The feed: every event of every message in the order of their commits, read from a place in it.

Writers number events as their last act before the commit (``receiver/sql/append.sql``), so whoever sees a
number sees all that are lower: reading on from the highest number seen misses nothing.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from receiver.auth import Channels
from receiver.read import ids, shapes
from receiver.read.records import told
from receiver.reader import Reader, Snapshot

_HEAD = "SELECT seq FROM postback.feed_head"
_OLDEST = "SELECT min(seq) AS seq FROM postback.event"
_STRETCH = """
    SELECT e.*, m.id AS of_id, m.conversation_id, m.client_reference
    FROM postback.event e LEFT JOIN postback.message m ON m.id = e.message_id
    WHERE e.seq > $1 AND e.seq <= $2 AND ($3::text[] IS NULL OR e.type = ANY($3))
      AND ($4::text[] IS NULL OR e.channel = ANY($4)) AND ($5::text[] IS NULL OR e.channel = ANY($5))
    ORDER BY e.seq LIMIT $6"""
#: numbers that one look goes through: a filter that leaves out nearly everything must not read the table
WINDOW = 2000


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events an asker is given; None stands for all. *visible* are the channels that its key may see;
    a key bound to channels is told nothing of what belongs to no channel."""

    types: Collection[str] | None = None
    channels: Collection[str] | None = None
    visible: Channels = None

    def admits(self, event: shapes.Event) -> bool:
        return (
            (self.types is None or event.type in self.types)
            and (self.channels is None or event.channel in self.channels)
            and (self.visible is None or event.channel in self.visible)
        )


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of the feed: the wanted events after some number, all there are up to *through*.

    *ends*: nothing came after it when it was read. *reset*: what was asked for lies before the oldest event
    that is kept (or beyond the newest, as after a restore of an older database), so events may be missing.
    """

    events: Sequence[shapes.Event]
    through: int
    ends: bool
    reset: bool = False


async def head(reader: Reader) -> int:
    """The newest event's number."""
    async with reader.snapshot() as snapshot:
        return await _number(snapshot, _HEAD) or 0


async def after(reader: Reader, place: int | None, wanted: Wanted, limit: int) -> Stretch:
    """Up to *limit* events that follow number *place* (`ids.NOW`: the newest), or the oldest kept where it is
    None."""
    async with reader.snapshot() as snapshot:
        newest = await _number(snapshot, _HEAD) or 0
        if place == ids.NOW:
            place = newest
        if place is not None and place <= newest:
            found = await _read(snapshot, place, newest, wanted, limit)
            if place == newest or (found.events and found.events[0].sequence == place + 1):
                return found  # the next number is there, so nothing is missing before it
        oldest = await _number(snapshot, _OLDEST)
        before = newest if oldest is None else oldest - 1
        reset = place is not None and not before <= place <= newest
        start = before if place is None or reset else place
        return replace(await _read(snapshot, start, newest, wanted, limit), reset=reset)


async def _number(snapshot: Snapshot, text: str) -> int | None:
    (row,) = await snapshot.rows(text)
    number: int | None = row.seq
    return number


async def _read(snapshot: Snapshot, start: int, newest: int, wanted: Wanted, limit: int) -> Stretch:
    window = min(start + WINDOW, newest)
    rows = await snapshot.rows(_STRETCH, start, window, wanted.types, wanted.channels, wanted.visible, limit)
    events = await told(snapshot, [(row, row if row.of_id else None) for row in rows])
    through = events[-1].sequence if len(events) == limit else window
    return Stretch(events, through, ends=through >= newest)
