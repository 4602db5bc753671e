"""The feed: every event of every message in the order of their commits, read from a place in it.

Writers number events as their last act before the commit (``receiver/sql/append.sql``), so whoever sees a
number sees all that are lower: reading on from the highest number seen misses nothing.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

from receiver.auth import Channels
from receiver.read import ids, shapes
from receiver.read.records import told
from receiver.reader import Reader, Snapshot

_HEAD = "SELECT seq FROM postback.feed_head"
# with the first gap that ends after a place
_BOUNDS = """
    SELECT h.seq AS newest, g.after AS gap_begin, g.until AS gap_end
    FROM postback.feed_head h
    LEFT JOIN LATERAL (
        SELECT g.after, g.until FROM postback.feed_gap g WHERE g.until > $1 ORDER BY g.until LIMIT 1
    ) g ON true"""
_ELSEWHERE = """
    SELECT coalesce(h.lineage <> postback.lineage(h.tableoid), false) AS elsewhere
    FROM postback.feed_head h"""
_OLDEST = "SELECT min(seq) AS seq FROM postback.event"
_STRETCH = """
    SELECT e.*, m.id AS of_id, m.conversation_id, m.client_reference
    FROM postback.event e LEFT JOIN postback.message m ON m.id = e.message_id
    WHERE e.seq > $1 AND e.seq <= $2 AND ($3::text[] IS NULL OR e.type = ANY($3))
      AND ($4::text[] IS NULL OR e.channel = ANY($4)) AND ($5::text[] IS NULL OR e.channel = ANY($5))
    ORDER BY e.seq LIMIT $6"""
#: numbers that one look goes through: a filter that leaves out nearly everything must not read the table
WINDOW = 2000


class Sorted(Protocol):
    """Anything that is sorted as an event is."""

    @property
    def type(self) -> str: ...

    @property
    def channel(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events an asker is given; None stands for all. *visible* are the channels that its key may see;
    a key bound to channels is told nothing of what belongs to no channel."""

    types: Collection[str] | None = None
    channels: Collection[str] | None = None
    visible: Channels = None

    def admits(self, event: Sorted) -> bool:
        return (
            (self.types is None or event.type in self.types)
            and (self.channels is None or event.channel in self.channels)
            and (self.visible is None or event.channel in self.visible)
        )


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of the feed: the wanted events after number *start*, all there are up to *through*.

    *ends*: nothing came after it when it was read. *start* is the place that was asked for, or where the feed
    goes on after it: behind what is no longer kept, behind a gap (`models.event.FeedGap`). *reset*: the place
    lies before the oldest event that is kept, so that events may be missing; or it lies in a part of the feed
    that was lost with the database's newest changes.
    """

    events: Sequence[shapes.Event]
    start: int
    through: int
    ends: bool
    reset: bool = False


class _Bounds(NamedTuple):
    """The newest number, and the first gap that ends after a place."""

    newest: int
    gap_begin: int | None
    gap_end: int | None


async def head(reader: Reader) -> int:
    """The newest event's number."""
    async with reader.snapshot() as snapshot:
        return await _number(snapshot, _HEAD) or 0


async def after(reader: Reader, place: int | None, wanted: Wanted, limit: int) -> Stretch:
    """Up to *limit* events that follow number *place* (`ids.NOW`: the newest), or the oldest kept where it is
    None."""
    async with reader.snapshot() as snapshot:
        bounds = await _bounds(snapshot, place or 0)
        if place == ids.NOW:
            return Stretch([], bounds.newest, bounds.newest, ends=True)
        if place is not None and place <= bounds.newest and not _at_or_in_gap(place, bounds):
            found = await _read(snapshot, place, bounds, wanted, limit)
            if place == bounds.newest or (found.events and found.events[0].sequence == place + 1):
                return found  # the next number is there, so nothing is missing before it
        start, reset = await _start(snapshot, place, bounds)
        bounds = await _bounds(snapshot, start)
        return replace(await _read(snapshot, start, bounds, wanted, limit), reset=reset)


async def _start(snapshot: Snapshot, place: int | None, bounds: _Bounds) -> tuple[int, bool]:
    """Where the feed goes on after *place*, and whether that is a reset."""
    oldest = await _number(snapshot, _OLDEST)
    before = bounds.newest if oldest is None else oldest - 1
    if place is None:
        return before, False
    if place > bounds.newest:
        # A standby was promoted, and nothing has been written since: what it has was told before the place.
        # Where that is not known (a copy of the disk was put back), everything is told once more.
        (found,) = await snapshot.rows(_ELSEWHERE)
        return bounds.newest if found.elsewhere else before, True
    start, lost = place, False
    if bounds.gap_end is not None and _at_or_in_gap(place, bounds):
        start, lost = bounds.gap_end, place != bounds.gap_begin
    return max(start, before), lost or start < before


def _at_or_in_gap(place: int, bounds: _Bounds) -> bool:
    """Whether the next number is none that follows *place*."""
    return bounds.gap_begin is not None and bounds.gap_begin <= place


async def _bounds(snapshot: Snapshot, place: int) -> _Bounds:
    (row,) = await snapshot.rows(_BOUNDS, place)
    return _Bounds(row.newest, row.gap_begin, row.gap_end)


async def _number(snapshot: Snapshot, text: str) -> int | None:
    (row,) = await snapshot.rows(text)
    number: int | None = row.seq
    return number


async def _read(snapshot: Snapshot, start: int, bounds: _Bounds, wanted: Wanted, limit: int) -> Stretch:
    """What follows *start*, which is in no gap, up to the next gap at most."""
    end = bounds.newest if bounds.gap_begin is None else bounds.gap_begin
    window = min(start + WINDOW, end)
    rows = await snapshot.rows(_STRETCH, start, window, wanted.types, wanted.channels, wanted.visible, limit)
    events = await told(snapshot, [(row, row if row.of_id else None) for row in rows])
    through = events[-1].sequence if len(events) == limit else window
    return Stretch(events, start, through, ends=through >= bounds.newest)
