"""Runs migrations in the configured schema, each in a transaction of its own.

`receiver.migrate` tries again what could not have its tables, and installs the functions; it gives a
connection. Without one somebody has called ``alembic``: `postback.alembic_command` does what it asks for.
"""

from typing import Any

import sqlalchemy as sa
from alembic import context
from sqlalchemy import Connection, MetaData, event
from sqlmodel import SQLModel

import models  # noqa: F401 - fills SQLModel.metadata
from models.base import SCHEMA
from postback import alembic_command
from receiver.partitions import LONGEST_WAIT


def run(connection: Connection, schema: str) -> None:
    """Does what Alembic was called for, on *connection* and in *schema*, made where it is missing."""
    connection = connection.execution_options(schema_translate_map={SCHEMA: schema})
    event.listen(connection, "begin", _impatient)
    with connection.begin():
        # a role that may create no schema may have been given one
        if connection.scalar(sa.text("SELECT to_regnamespace(:name)"), {"name": f'"{schema}"'}) is None:
            connection.execute(sa.text(f'CREATE SCHEMA "{schema}"'))
    # Alembic leaves out the default schema, which ours is for a role of its name
    connection.dialect.default_schema_name = "public"
    context.configure(
        connection=connection,
        target_metadata=_tables(schema),
        version_table_schema=schema,
        transaction_per_migration=True,
        include_schemas=True,
        include_name=lambda name, kind, _: kind != "schema" or name == schema,
        include_object=lambda thing, name, kind, reflected, _: (
            not (kind == "table" and reflected and "_p_" in (name or ""))
        ),
    )
    context.run_migrations()


def _tables(schema: str) -> MetaData:
    """Returns the models' tables in *schema*, to be compared with those that are there."""
    tables = MetaData()
    for table in SQLModel.metadata.sorted_tables:
        table.to_metadata(tables, schema=schema)
    return tables


def _impatient(connection: Connection) -> None:
    """Whoever waits for a table makes others wait behind it; a step that cannot have one is tried again."""
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = {LONGEST_WAIT}")


given: Any = context.config.attributes.get("connection")
if given is not None:
    run(given, context.config.attributes["schema"])
else:
    alembic_command.carry_out(run)
