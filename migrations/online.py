"""Changes of large tables that others read and write meanwhile (CONTRIBUTING.md, "A migration").

Each of these commits what the migration did so far, and then works in small transactions of its own. So a
migration that uses one may be interrupted anywhere and begins anew: whatever else it does, it has to be
repeatable.

A script of SQL (``alembic upgrade --sql``) can look at nothing: in one, indexes are built in the migration's
transaction, and hold up those who write to the table.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Connection
from sqlalchemy.util import await_only

from receiver.partitions import LONGEST_WAIT

#: the longest name that Postgres keeps
_LONGEST_NAME = 63


def create_index(
    name: str,
    table: str,
    columns: Sequence[str],
    *,
    unique: bool = False,
    using: str = "btree",
    where: str | None = None,
) -> None:
    """Creates the index *name* of *table*, partitioned or not, without holding up anybody who writes to it.

    What an interrupted run left behind, which Postgres calls invalid, is dropped and built anew.
    """
    schema = _schema()
    kind = "UNIQUE INDEX" if unique else "INDEX"
    definition = f"USING {using} ({', '.join(columns)})" + (f" WHERE {where}" if where else "")
    if op.get_context().as_sql:
        op.execute(f'CREATE {kind} {name} ON "{schema}".{table} {definition}')
        return
    with op.get_context().autocommit_block():
        connection = op.get_bind()
        if _kind(connection, schema, table) != "p":
            _build(connection, schema, name, table, kind, definition)
            return
        if _valid(connection, schema, name) is None:
            _briefly(connection, f'CREATE {kind} {name} ON ONLY "{schema}".{table} {definition}')
        while partitions := _without(connection, schema, name, table):
            for partition in partitions:
                part = f"{partition}_{name}"[:_LONGEST_NAME]
                _build(connection, schema, part, partition, kind, definition)
                # the last one makes the whole index valid
                _briefly(connection, f'ALTER INDEX "{schema}".{name} ATTACH PARTITION "{schema}".{part}')


def replace_index(name: str, table: str, columns: Sequence[str], *, where: str | None = None) -> None:
    """Creates the index *name* anew with other *columns*; until it is there, the one before serves."""
    schema, before = _schema(), f"{name}_before"
    if op.get_context().as_sql:
        op.execute(f'DROP INDEX "{schema}".{name}')
        create_index(name, table, columns, where=where)
        return
    with op.get_context().autocommit_block():
        connection = op.get_bind()
        if _valid(connection, schema, before) is None:
            _briefly(connection, f'ALTER INDEX "{schema}".{name} RENAME TO {before}')
    create_index(name, table, columns, where=where)
    with op.get_context().autocommit_block():
        _briefly(op.get_bind(), f'DROP INDEX "{schema}".{before}')


def fill(statement: str) -> None:
    """Executes *statement*, an UPDATE of a limited number of rows, until none is left that it would change.

    It names tables as ``postback.name``, whatever the schema is called.
    """
    statement = statement.replace("postback.", f'"{_schema()}".')
    if op.get_context().as_sql:
        op.execute(f"DO $$ BEGIN LOOP {statement}; EXIT WHEN NOT FOUND; END LOOP; END $$")
        return
    with op.get_context().autocommit_block():
        while op.get_bind().exec_driver_sql(statement).rowcount:
            pass


def _schema() -> str:
    """The one that is migrated."""
    return str(op.get_context().version_table_schema)


def _build(connection: Connection, schema: str, name: str, table: str, kind: str, definition: str) -> None:
    valid = _valid(connection, schema, name)
    if valid is False:
        _outside(connection, f'DROP INDEX CONCURRENTLY "{schema}".{name}')
    if not valid:
        # It waits for those who write to the table; nobody waits for it.
        _outside(connection, f'CREATE {kind} CONCURRENTLY {name} ON "{schema}".{table} {definition}')


def _outside(connection: Connection, statement: str) -> None:
    """Executes what may be in no transaction. Without arguments the driver sends it as it stands; a statement
    that it prepares would have a transaction where the connection goes through a pooler."""
    await_only(connection.connection.driver_connection.execute(statement))  # type: ignore[union-attr]


def _briefly(connection: Connection, statement: str) -> None:
    """Executes what needs a table for a moment, or raises where it cannot be had: `receiver.migrate` tries
    again."""
    connection.exec_driver_sql(
        f"DO $$ BEGIN PERFORM set_config('lock_timeout', '{LONGEST_WAIT}', true); "
        f"EXECUTE '{statement.replace(chr(39), 2 * chr(39))}'; END $$"
    )


def _kind(connection: Connection, schema: str, table: str) -> str:
    found = connection.scalar(
        sa.text("SELECT relkind::text FROM pg_class WHERE oid = to_regclass(:name)"),
        {"name": f'"{schema}".{table}'},
    )
    return str(found)


def _valid(connection: Connection, schema: str, name: str) -> bool | None:
    """Returns whether the index can be used; None where there is none."""
    found: bool | None = connection.scalar(
        sa.text("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)"),
        {"name": f'"{schema}".{name}'},
    )
    return found


def _without(connection: Connection, schema: str, name: str, table: str) -> Sequence[str]:
    """Returns the partitions of *table* that have no part of the index *name* yet."""
    found = connection.scalars(
        sa.text(
            """SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
               WHERE i.inhparent = to_regclass(:table) AND NOT EXISTS (
                   SELECT FROM pg_index x JOIN pg_inherits part ON part.inhrelid = x.indexrelid
                   WHERE x.indrelid = c.oid AND part.inhparent = to_regclass(:index))
               ORDER BY c.relname"""
        ),
        {"table": f'"{schema}".{table}', "index": f'"{schema}".{name}'},
    )
    return found.all()
