"""From an empty database to head and back, in whatever schema the operator names."""

import re
from pathlib import Path
from types import ModuleType

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlmodel import SQLModel

import models  # noqa: F401 - fills SQLModel.metadata
import postback as postback_commands
import receiver
import sender
from receiver import db as database
from receiver import migrate, partitions, sql
from tests.conftest import SCHEMA
from tests.support.beds import connect
from tests.support.store import Connection, arrival, postback, store

pytestmark = pytest.mark.stock

#: called from outside, but a part of the statement that calls it: what holds for its connection holds for it
INLINED = {"located"}


async def test_the_models_and_the_newest_migration_agree(database_url: str) -> None:
    def differences(connection: sa.Connection) -> list[object]:
        context = MigrationContext.configure(
            connection,
            opts={
                "include_schemas": True,
                "compare_type": True,
                "include_name": lambda name, kind, _: kind != "schema" or name == SCHEMA,
                "include_object": lambda _, name, kind, reflected, __: (
                    not (kind == "table" and reflected and ("_p_" in name or name == "alembic_version"))
                ),
            },
        )
        return list(compare_metadata(context, SQLModel.metadata))

    engine = database.engine(database_url, size=0)
    async with engine.connect() as connection:
        found = await connection.run_sync(differences)
    await engine.dispose()

    assert [] == found


async def test_every_index_has_its_condition(database_url: str) -> None:
    """Which the comparison of models and migrations does not look at."""
    conditions = {
        f"{index.name}": str(index.dialect_options["postgresql"]["where"])
        for table in SQLModel.metadata.tables.values()
        for index in table.indexes
        if index.dialect_options["postgresql"]["where"] is not None
    }
    db = await connect(database_url)
    partial = await db.fetch(
        "SELECT indexrelid::regclass::text AS name FROM pg_index JOIN pg_class c ON c.oid = indexrelid"
        " WHERE indpred IS NOT NULL AND NOT c.relispartition AND c.relnamespace = 'postback'::regnamespace"
    )
    await db.close()

    assert set(conditions) == {row["name"].removeprefix("postback.") for row in partial}


@pytest.mark.parametrize("schema", ["postback", "tenant_a"])
async def test_down_to_nothing_and_up_again_in_any_schema(database_url: str, schema: str) -> None:
    await migrate.upgrade(database_url, schema)
    await migrate.upgrade(database_url, schema)
    await migrate.downgrade(database_url, schema)
    db = await connect(database_url)
    left = await db.fetch(
        "SELECT relname FROM pg_class WHERE relnamespace = $1::regnamespace AND relkind IN ('r', 'p', 'c')",
        schema,
    )

    await migrate.upgrade(database_url, schema)

    assert ["alembic_version"] == [row["relname"] for row in left]
    assert 0 == await db.fetchval(f"SELECT seq FROM {schema}.feed_head")  # noqa: S608
    await db.close()


async def test_a_month_is_a_partition_and_other_times_have_a_default(database_url: str) -> None:
    db = await connect(database_url)
    await store(db, [arrival(postback("N101", "T1"))])

    places = [
        row["place"]
        for table in ("message", "event", "payload")
        for row in await db.fetch(f"SELECT tableoid::regclass::text AS place FROM postback.{table}")  # noqa: S608
    ]
    defaults = await db.fetchval(
        "SELECT count(*) FROM pg_class WHERE relname LIKE '%\\_p\\_default' AND relkind = 'r'"
    )
    await db.close()

    assert all(place[-6:].isdigit() for place in places)
    assert len(partitions.TABLES) == defaults


async def test_a_report_rewrites_its_messages_row_in_place(database_url: str) -> None:
    """No index holds what a report changes: the update is HOT."""
    db = await connect(database_url)
    await store(db, [arrival(postback("N101", "T1"))])
    await store(db, [arrival(postback("N102", "T1"))])
    await db.execute("SELECT pg_stat_force_next_flush()")
    updates = await db.fetchrow(
        "SELECT sum(n_tup_upd) AS updates, sum(n_tup_hot_upd) AS hot FROM pg_stat_user_tables"
        " WHERE schemaname = 'postback' AND relname LIKE 'message\\_p\\_%'"
    )
    await db.close()

    assert 2 == updates["updates"] == updates["hot"]


async def test_no_function_is_compiled_at_its_call(db: Connection) -> None:
    """Which takes seconds on a server with LLVM, where a batch may take one."""
    generation = f"_{sql.ours().generation}"
    called = {name for room in (receiver, sender, postback_commands) for name in _called(room)}
    functions = await db.fetch(
        """SELECT replace(proname, $1, '') AS name, lanname AS language,
               'jit=off' = ANY (coalesce(proconfig, '{}')) AS uncompiled
           FROM pg_proc p JOIN pg_language l ON l.oid = prolang
           WHERE pronamespace = 'postback'::regnamespace""",
        generation,
    )

    entries = {f["name"] for f in functions if f["language"] == "plpgsql" or f["name"] in called - INLINED}
    assert called - INLINED <= entries
    assert entries == {f["name"] for f in functions if f["uncompiled"]}


def _called(room: ModuleType) -> set[str]:
    """Returns the names of the functions in the database that the Python code of *room* calls."""
    files = Path(room.__path__[0]).rglob("*.py")
    return {name for file in files for name in re.findall(r"\bpostback\.([a-z_]+)\(", file.read_text())}
