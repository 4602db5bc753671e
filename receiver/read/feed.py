"""The feed: every event of every message in the order of their commits, read from a place in it.

Writers number events as their last act before the commit (``receiver/sql/append.sql``), so whoever sees a
number sees all that are lower: reading on from the highest number seen misses nothing.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import ColumnElement, true
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlmodel import col, func, select

from models import Event, FeedHead, Message
from receiver.auth import Channels
from receiver.db import snapshot
from receiver.read import ids, shapes
from receiver.read.records import told

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

    def condition(self) -> ColumnElement[bool]:
        condition: ColumnElement[bool] = true()
        for column, among in (
            (Event.type, self.types),
            (Event.channel, self.channels),
            (Event.channel, self.visible),
        ):
            if among is not None:
                condition = condition & col(column).in_(among)
        return condition


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


async def head(engine: AsyncEngine) -> int:
    """The newest event's number."""
    async with engine.connect() as connection:
        return (await connection.scalars(select(FeedHead.seq))).one()


async def after(engine: AsyncEngine, place: int | None, wanted: Wanted, limit: int) -> Stretch:
    """Up to *limit* events that follow number *place* (`ids.NOW`: the newest), or the oldest kept where it is
    None."""
    async with snapshot(engine) as session:
        newest = (await session.scalars(select(FeedHead.seq))).one()
        if place == ids.NOW:
            place = newest
        if place is not None and place <= newest:
            found = await _read(session, place, newest, wanted, limit)
            if place == newest or (found.events and found.events[0].sequence == place + 1):
                return found  # the next number is there, so nothing is missing before it
        oldest = (await session.scalars(select(func.min(Event.seq)))).one()
        before = newest if oldest is None else oldest - 1
        reset = place is not None and not before <= place <= newest
        start = before if place is None or reset else place
        return replace(await _read(session, start, newest, wanted, limit), reset=reset)


async def _read(session: AsyncSession, start: int, newest: int, wanted: Wanted, limit: int) -> Stretch:
    window = min(start + WINDOW, newest)
    query = (
        select(Event, Message)
        .join(Message, col(Message.id) == col(Event.message_id), isouter=True)
        .where(col(Event.seq) > start, col(Event.seq) <= window, wanted.condition())
        .order_by(col(Event.seq))
        .limit(limit)
    )
    events = await told(session, [(row, message) for row, message in await session.execute(query)])
    through = events[-1].sequence if len(events) == limit else window
    return Stretch(events, through, ends=through >= newest)
