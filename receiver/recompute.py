"""Folds all messages again from their events: after the ladder of statuses has changed."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import UUID

import orjson

from receiver import db
from receiver.config import Settings
from receiver.replayed import Change, changes
from receiver.rows import new_id
from receiver.sql import qualified

#: messages per transaction; of these only the ones that differ are locked
BATCH = 500
START = UUID(int=0)


@dataclass(frozen=True, slots=True)
class Stretch:
    """Messages looked at up to *last*, and those that changed."""

    looked_at: int
    last: UUID
    changes: list[Change]


async def count(settings: Settings) -> int:
    async with db.connected(settings.database_url) as connection:
        found: int = await connection.fetchval(
            qualified("SELECT count(*) FROM postback.message", settings.db_schema)
        )
        return found


async def run(settings: Settings, after: UUID = START) -> AsyncIterator[Stretch]:
    """Every message after *after*, in the order of the ids; each stretch is committed when it is yielded."""
    statement = qualified("SELECT postback.recompute($1, $2, $3)", settings.db_schema)
    async with db.connected(settings.database_url) as connection:
        while True:
            answer = orjson.loads(await connection.fetchval(statement, after, BATCH, new_id()))
            if answer["last"] is None:
                return
            after = UUID(answer["last"])
            yield Stretch(answer["looked_at"], after, changes(answer["messages"]))
