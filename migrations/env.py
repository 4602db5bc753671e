"""Runs migrations in one transaction, in the configured schema, functions included.

The functions in ``receiver/sql`` are not versioned one by one: they are written anew as a whole when they
have changed and the tables stand at head, and dropped below it (docs/decisions/0003).
"""

import asyncio

import sqlalchemy as sa
from alembic import context
from sqlalchemy import Connection
from sqlmodel import SQLModel

import models  # noqa: F401 - fills SQLModel.metadata
from models.base import SCHEMA
from receiver import db, sql
from receiver.config import load


def run(connection: Connection, schema: str) -> None:
    connection = connection.execution_options(schema_translate_map={SCHEMA: schema})
    # Two processes that start together must not migrate together; the lock goes with the transaction.
    connection.execute(
        sa.text("SELECT pg_advisory_xact_lock(hashtext(:name))"), {"name": f"{schema}.migrate"}
    )
    connection.execute(sa.text(f'CREATE SCHEMA IF NOT EXISTS "{schema}"'))
    context.configure(
        connection=connection,
        target_metadata=SQLModel.metadata,
        version_table_schema=schema,
        include_schemas=True,
        include_name=lambda name, kind, _: kind != "schema" or name == schema,
        include_object=lambda thing, name, kind, reflected, _: (
            not (kind == "table" and reflected and "_p_" in (name or ""))
        ),
    )
    heads = tuple(context.script.get_heads())
    if _leads_elsewhere(heads):
        _write_functions(connection, schema, wanted=False)  # they hold on to tables' types
    context.run_migrations()
    reached = context.get_context().get_current_heads()
    _write_functions(connection, schema, wanted=bool(reached) and reached == heads)


def _leads_elsewhere(heads: tuple[str, ...]) -> bool:
    """Whether this run changes tables: it does not begin at *heads*, or does not end there."""
    standing = context.get_context().get_current_heads()
    try:
        wanted = context.get_revision_argument()
    except KeyError:
        return False  # a command that only looks
    return bool(standing) and (standing != heads or wanted not in heads)


def _write_functions(connection: Connection, schema: str, *, wanted: bool) -> None:
    """Leaves them alone where they are as they should be: running processes know their types by number."""
    marked = connection.scalar(sa.text(sql.MARK), {"type": f'"{schema}".{sql.MARKED_TYPE}'})
    if wanted and marked == sql.fingerprint():
        return
    for statement in sql.drop_statements(schema):
        connection.execute(sa.text(statement))
    if wanted:
        for statement in sql.create_statements(schema):
            connection.exec_driver_sql(statement)


async def run_from_command_line() -> None:
    settings = load()
    engine = db.engine(settings.database_url, size=0)
    async with engine.begin() as connection:
        await connection.run_sync(run, settings.db_schema)
    await engine.dispose()


given = context.config.attributes.get("connection")
if given is not None:
    run(given, context.config.attributes["schema"])
else:
    asyncio.run(run_from_command_line())
