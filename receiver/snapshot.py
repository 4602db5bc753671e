"""Reading: several statements that all see the same moment.

A message may be adopted, or change its status, between two statements; an answer put together from both
sides of that would be a message that never was.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

#: the only channels that the asker may see; None is all of them
Channels = frozenset[str] | None


@asynccontextmanager
async def snapshot(engine: AsyncEngine) -> AsyncIterator[AsyncSession]:
    async with AsyncSession(engine.execution_options(isolation_level="REPEATABLE READ")) as session:
        yield session
