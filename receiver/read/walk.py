"""Lists as walks along an index: what a page costs is bounded, whatever is asked for.

A walk goes through one index, or several at once, newest first, for `WINDOW` rows and no further; only then
are the rows held against all that was asked. A page that found too little goes on at the next cursor, where
the walk ended. Without that, a filter which nothing meets would read a table to its end.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Select, Subquery, literal_column, select, union_all
from sqlalchemy.ext.asyncio import AsyncSession

#: rows that one page goes through
WINDOW = 5000

#: written out, because what is planned for any number of rows is planned for a tenth of them
_FULL: ColumnElement[int] = literal_column(f"{WINDOW}")
_LAST: ColumnElement[int] = literal_column(f"{WINDOW - 1}")
#: keeps Postgres from looking into a subquery and doing it another way
APART: ColumnElement[int] = literal_column("0")

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Walk:
    """*rows* are the columns of the branches, *by* what they are in order of, highest first."""

    rows: Subquery
    by: tuple[str, ...]

    @property
    def order(self) -> list[ColumnElement[Any]]:
        return [self.rows.c[name].desc() for name in self.by]

    def last(self) -> Select[Any]:
        """Where the window ended, as values of *by*; nothing where everything was in it."""
        query = select(*(self.rows.c[name] for name in self.by)).order_by(*self.order)
        return query.offset(_LAST).limit(literal_column("1"))

    async def end(self, session: AsyncSession) -> tuple[Any, ...] | None:
        """What `last` finds."""
        row = (await session.execute(self.last())).first()
        return tuple(row) if row else None

    async def page(
        self, session: AsyncSession, found: Sequence[Row], limit: int
    ) -> tuple[Sequence[Row], tuple[Any, ...] | None]:
        """The page out of up to *limit* + 1 *found* rows, and the values of *by* after which there may be
        more."""
        page = found[:limit]
        if len(found) > limit:
            last = page[-1]
            return page, tuple(getattr(last, name) for name in self.by)
        return page, await self.end(session)


def walk(branches: Sequence[Select[Any]], by: tuple[str, ...] = ("id",)) -> Walk:
    """Through all *branches* at once, which share no row and have the same columns."""
    ways = [_ordered(branch, by).limit(_FULL).subquery() for branch in branches]
    if len(ways) == 1:
        return Walk(ways[0], by)
    together = select(union_all(*(select(way) for way in ways)).subquery())
    return Walk(_ordered(together, by).limit(_FULL).subquery(), by)


def _ordered(query: Select[Any], by: tuple[str, ...]) -> Select[Any]:
    columns = query.selected_columns
    return query.order_by(*(columns[name].desc() for name in by))
