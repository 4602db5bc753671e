"""Runs migrations in the configured schema, each in a transaction of its own.

`receiver.migrate` tries again what could not have its tables, and installs the functions.
"""

import asyncio
from typing import Any

import sqlalchemy as sa
from alembic import context
from sqlalchemy import Connection, event
from sqlmodel import SQLModel

import models  # noqa: F401 - fills SQLModel.metadata
from models.base import SCHEMA
from receiver import db
from receiver.config import load
from receiver.partitions import LONGEST_WAIT


def run(connection: Connection, schema: str) -> None:
    connection = connection.execution_options(schema_translate_map={SCHEMA: schema})
    event.listen(connection, "begin", _impatient)
    with connection.begin():
        # a role that may create no schema may have been given one
        if connection.scalar(sa.text("SELECT to_regnamespace(:name)"), {"name": f'"{schema}"'}) is None:
            connection.execute(sa.text(f'CREATE SCHEMA "{schema}"'))
    context.configure(
        connection=connection,
        target_metadata=SQLModel.metadata,
        version_table_schema=schema,
        transaction_per_migration=True,
        include_schemas=True,
        include_name=lambda name, kind, _: kind != "schema" or name == schema,
        include_object=lambda thing, name, kind, reflected, _: (
            not (kind == "table" and reflected and "_p_" in (name or ""))
        ),
    )
    context.run_migrations()


def _impatient(connection: Connection) -> None:
    """Whoever waits for a table makes others wait behind it; a step that cannot have one is tried again."""
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = {LONGEST_WAIT}")


async def run_from_command_line() -> None:
    settings = load()
    engine = db.engine(settings.database_url, size=0)
    async with engine.connect() as connection:
        await connection.run_sync(run, settings.db_schema)
    await engine.dispose()


given: Any = context.config.attributes.get("connection")
if given is not None:
    run(given, context.config.attributes["schema"])
else:
    asyncio.run(run_from_command_line())
