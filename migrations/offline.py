"""The migrations as a script of SQL, for those who may not let a program change their tables.

The script stands for all that ``postback migrate`` does: the schema, the tables, the functions and the
partitions of the months ahead. It holds up those who write to a table while an index of it is built, and
leaves functions of versions before as they are.
"""

import io
import re
from datetime import UTC, datetime

from alembic import context
from sqlmodel import SQLModel

import models  # noqa: F401 - fills SQLModel.metadata
from models.base import SCHEMA
from receiver import migrate, partitions, sql


def write(schema: str, command: str) -> None:
    """Prints what Alembic's *command* would do in *schema*."""
    script = io.StringIO()
    context.configure(
        dialect_name="postgresql",
        dialect_opts={"paramstyle": "named"},  # others double each percent sign
        literal_binds=True,
        target_metadata=SQLModel.metadata,
        version_table_schema=schema,
        transaction_per_migration=True,
        output_buffer=script,
    )
    if command == "downgrade":
        _add(script, *sql.drop_statements(schema))
    elif command == "upgrade":
        _add(script, _make_schema(schema))
    context.run_migrations()
    if command == "upgrade" and context.get_revision_argument() == migrate.head():
        _add(script, _install(schema), *partitions.statements(schema, datetime.now(UTC)))
    # a migration's tables are in the schema that its models name
    print(re.sub(rf"\b{SCHEMA}\.(?=[a-z])", f'"{schema}".', script.getvalue()), end="")


def _add(script: io.StringIO, *statements: str) -> None:
    script.writelines(f"{statement.strip()};\n\n" for statement in statements)


def _make_schema(schema: str) -> str:
    # CREATE SCHEMA IF NOT EXISTS is refused to a role that may create none, also where it is there
    return (
        f"DO $$ BEGIN IF to_regnamespace('\"{schema}\"') IS NULL THEN "
        f'CREATE SCHEMA "{schema}"; END IF; END $$'
    )


def _install(schema: str) -> str:
    ours = sql.ours()
    made = "\n".join(f"{statement.rstrip().rstrip(';')};" for statement in ours.create_statements(schema))
    return (
        f"DO $functions$ BEGIN IF to_regtype('\"{schema}\".{ours.mark}') IS NULL THEN\n"
        f"{made}\nEND IF; END $functions$"
    )
