"""The database to the newest version: tables, functions, and the partitions of the months ahead."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import structlog
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

import migrations
from receiver import db, partitions

HEAD = "head"

log = structlog.get_logger()


async def upgrade(database_url: str, schema: str) -> None:
    """Everything that ``postback migrate`` does; harmless when there is nothing to do.

    Raises ``DatabaseError``.
    """
    await db.check(database_url)
    await _run(database_url, schema, lambda config: command.upgrade(config, HEAD))
    async with db.connected(database_url) as connection:
        try:
            await partitions.make(connection, schema, datetime.now(UTC))
        except partitions.Busy as error:
            # those of the next months are there already, or nobody could be so busy
            log.warning("partitions are made later", reason=str(error))


async def downgrade(database_url: str, schema: str, revision: str = "base") -> None:
    """Back to *revision*; ``base`` leaves an empty schema. Data goes with the tables."""
    await _run(database_url, schema, lambda config: command.downgrade(config, revision))


async def _run(database_url: str, schema: str, step: Callable[[Config], None]) -> None:
    def run(connection: Connection) -> None:
        config = Config(attributes={"connection": connection, "schema": schema})
        # beside the code, never in the current directory
        config.set_main_option("script_location", str(Path(migrations.__file__).parent))
        step(config)

    engine = db.engine(database_url, size=0)
    try:
        async with engine.begin() as connection:
            await connection.run_sync(run)
    finally:
        await engine.dispose()
