"""Unproven requests as they lie in the table of payloads."""

from collections.abc import Collection, Sequence
from uuid import UUID

from sqlalchemy import delete, func
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel import col, select

from models import Payload
from receiver.unverified import Held, Stored

_UNVERIFIED = col(Payload.state) == "unverified"
#: rows that one look reads, more than a store that is full has
_MOST = 20_000
# none of these reads a body: its length stands in the row
_SIZE = (
    func.octet_length(col(Payload.body))
    + func.octet_length(col(Payload.query))
    + func.pg_column_size(col(Payload.headers))
)


class UnverifiedTable:
    """Raises SQLAlchemy's errors and ``OSError``."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def count(self) -> Stored:
        async with self._engine.connect() as connection:
            found = await connection.execute(
                select(func.count(), func.coalesce(func.sum(_SIZE), 0)).where(_UNVERIFIED)
            )
            return Stored(*found.one())

    async def oldest(self) -> Sequence[Held]:
        """Up to 20,000 of them, oldest first."""
        asked = select(col(Payload.id), col(Payload.channel), col(Payload.peer), _SIZE)
        async with self._engine.connect() as connection:
            found = await connection.execute(asked.where(_UNVERIFIED).order_by(col(Payload.id)).limit(_MOST))
            return [Held(*row) for row in found]

    async def remove(self, ids: Collection[UUID]) -> int:
        """Returns how many went: those that somebody reads again at this moment stay."""
        free = (
            select(col(Payload.id))
            .where(col(Payload.id).in_(ids), _UNVERIFIED)
            .with_for_update(skip_locked=True)
        )
        async with self._engine.begin() as connection:
            return (await connection.execute(delete(Payload).where(col(Payload.id).in_(free)))).rowcount
