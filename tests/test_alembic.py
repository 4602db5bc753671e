"""Alembic's own commands do what Postback's do: the same database, one sentence where they cannot work."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from postback import alembic_command
from receiver import migrate, sql
from receiver.db import DatabaseError
from tests.support import commands
from tests.support.beds import Bed, connect
from tests.support.patience import COMMAND
from tests.support.processes import ROOT
from tests.support.store import SCHEMA, arrival, postback, store, without_partitions

pytestmark = pytest.mark.stock

#: whatever a schema holds that somebody could miss
INVENTORY = """
    SELECT 'table ' || relname || coalesce(' ' || pg_get_expr(relpartbound, oid), '') || ' '
        || coalesce(reloptions::text, '') AS it
    FROM pg_class WHERE relnamespace = $1::text::regnamespace AND relkind IN ('r', 'p')
    UNION ALL SELECT 'column ' || table_name || ' ' || column_name || ' ' || data_type || ' ' || is_nullable
        || ' ' || coalesce(column_default, '')
    FROM information_schema.columns WHERE table_schema = $1::text
    UNION ALL SELECT 'index ' || indexdef FROM pg_indexes
    WHERE schemaname = $1::text AND tablename NOT LIKE '%\\_p\\_%'
    UNION ALL SELECT 'indexes of ' || tablename || ' ' || count(*) FROM pg_indexes
    WHERE schemaname = $1::text GROUP BY tablename
    UNION ALL SELECT 'function ' || oid::regprocedure || ' ' || md5(prosrc)
    FROM pg_proc WHERE pronamespace = $1::text::regnamespace
    UNION ALL SELECT 'type ' || typname FROM pg_type WHERE typnamespace = $1::text::regnamespace
        AND typname !~ '^_'
    UNION ALL SELECT 'stands ' || version_num FROM {schema}.alembic_version"""

INFORMS = '"level": "info"'


def alembic(*arguments: str, cwd: Path, **variables: str) -> tuple[int, str, str]:
    """Exit code, standard output, and standard error but for lines that only inform (behind a pooler
    there is one), of ``alembic`` with *arguments*."""
    command = [str(Path(sys.executable).with_name("alembic")), "-c", str(ROOT / "alembic.ini"), *arguments]
    ended = subprocess.run(  # noqa: S603
        command, cwd=cwd, env=commands.environment(**variables), text=True, stdin=subprocess.DEVNULL,
        capture_output=True, timeout=COMMAND, check=False,
    )  # fmt: skip
    errors = ended.stderr.splitlines(keepends=True)
    return ended.returncode, ended.stdout, "".join(line for line in errors if INFORMS not in line)


def done(*arguments: str, cwd: Path, **variables: str) -> str:
    """The standard output of ``alembic``, which works and has nothing to complain of."""
    code, said, complaints = alembic(*arguments, cwd=cwd, **variables)
    assert (0, "") == (code, complaints), said
    return said


async def inventory(url: str, schema: str = SCHEMA) -> list[str]:
    db = await connect(url)
    rows = await db.fetch(INVENTORY.format(schema=schema), schema)
    await db.close()
    return sorted(row["it"] for row in rows)


@pytest.fixture
async def empty(bed: Bed) -> Any:
    """The URL of a database without anything."""
    yield await bed.create("by_alembic")
    await bed.drop("by_alembic")


async def test_upgrade_head_leaves_what_migrate_leaves(empty: str, database_url: str, tmp_path: Path) -> None:
    done("upgrade", "head", cwd=tmp_path, DATABASE_URL=empty)

    assert await inventory(database_url) == await inventory(empty)
    db = await connect(empty)
    await store(db, [arrival(postback("N101", "T1"))])
    assert "message_p_2" == (await db.fetchval("SELECT tableoid::regclass::text FROM postback.message"))[9:20]
    await db.close()


async def test_it_makes_partitions_and_functions_that_are_missing_at_head(
    database_url: str, tmp_path: Path
) -> None:
    before = await inventory(database_url)
    db = await connect(database_url)
    await without_partitions(db)
    for statement in sql.drop_statements(SCHEMA):
        await db.execute(statement)
    await db.close()

    done("upgrade", "head", cwd=tmp_path, DATABASE_URL=database_url)

    assert before == await inventory(database_url)


@pytest.mark.parametrize("schema", ["postback", "tenant_a"])
async def test_a_script_of_sql_leaves_what_migrate_leaves(empty: str, tmp_path: Path, schema: str) -> None:
    await migrate.upgrade(empty, schema)
    wanted = await inventory(empty, schema)
    where = {"POSTBACK_SCHEMA": schema, "DATABASE_URL": "postgresql://nobody.invalid/is-asked"}
    script = done("upgrade", "head", "--sql", cwd=tmp_path, **where)
    later = done("upgrade", "0007:head", "--sql", cwd=tmp_path, **where)
    back = done("downgrade", f"{migrate.head()}:base", "--sql", cwd=tmp_path, **where)

    db = await connect(empty)
    await db.execute(back)
    left = await db.fetch("SELECT relname FROM pg_class WHERE relnamespace = $1::regnamespace", schema)
    assert {"alembic_version", "alembic_version_pkc"} == {row["relname"] for row in left}
    await db.execute(f"DROP SCHEMA {schema} CASCADE")
    await db.execute(script)
    assert wanted == await inventory(empty, schema)

    await migrate.downgrade(empty, schema, "0007")
    await db.execute(later)
    await db.close()
    assert wanted == await inventory(empty, schema)


@pytest.mark.parametrize("schema", ["postback", "tenant_a"])
async def test_check_finds_nothing_to_do_in_any_schema(empty: str, tmp_path: Path, schema: str) -> None:
    where = {"POSTBACK_SCHEMA": schema, "DATABASE_URL": empty}
    done("upgrade", "head", cwd=tmp_path, **where)

    assert "No new upgrade operations detected.\n" == done("check", cwd=tmp_path, **where)

    db = await connect(empty)
    await db.execute(f"ALTER TABLE {schema}.opt_out DROP COLUMN word")
    await db.close()
    code, said, _ = alembic("check", cwd=tmp_path, **where)
    assert 0 != code
    assert "add_column" in said


def test_without_a_database_url_the_embedded_server_is_used(tmp_path: Path) -> None:
    """Its role has the schema's name, so the schema is the one that Alembic would take for its default."""
    done("upgrade", "head", cwd=tmp_path)

    assert f"{migrate.head()} (head)\n" == done("current", cwd=tmp_path)
    assert "No new upgrade operations detected.\n" == done("check", cwd=tmp_path)
    assert (0, "", "") == commands.run("migrate", cwd=tmp_path)


async def test_downgrade_to_nothing_and_up_again(database_url: str, tmp_path: Path) -> None:
    before = await inventory(database_url)
    done("downgrade", "base", cwd=tmp_path, DATABASE_URL=database_url)
    assert (
        []
        == [it for it in await inventory(database_url) if it.startswith(("function", "type", "stands"))][1:]
    )

    done("upgrade", "0009", cwd=tmp_path, DATABASE_URL=database_url)
    halfway = await inventory(database_url)
    assert "stands 0009" in halfway
    assert not any(it.startswith("function") for it in halfway), "they would not fit"

    done("upgrade", "head", cwd=tmp_path, DATABASE_URL=database_url)
    assert before == await inventory(database_url)


async def test_a_revision_that_is_none_changes_nothing(database_url: str, tmp_path: Path) -> None:
    before = await inventory(database_url)

    for command in ("upgrade", "downgrade"):
        code, said, complaints = alembic(command, "nowhere", cwd=tmp_path, DATABASE_URL=database_url)
        assert (255, "FAILED: Can't locate revision identified by 'nowhere'", "") == (
            code,
            said.strip(),
            complaints,
        )

    assert before == await inventory(database_url)


@pytest.mark.parametrize("command", [("upgrade", "head"), ("check",)])
def test_a_database_that_is_away_is_one_sentence(
    command: tuple[str, ...], tmp_path: Path, free_port: int
) -> None:
    url = f"postgresql://127.0.0.1:{free_port}/nowhere"
    code, said, complaints = alembic(*command, cwd=tmp_path, DATABASE_URL=url)

    assert (255, "") == (code, complaints)
    assert said.startswith("FAILED: The database cannot be reached: ")
    assert 1 == len(said.splitlines())


def test_a_mistake_in_the_configuration_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "postback.toml").write_text('schemma = "postback"\n')
    for more in ((), ("--sql",)):
        code, said, complaints = alembic("upgrade", "head", *more, cwd=tmp_path)

        assert (255, "") == (code, complaints)
        assert "schemma" in said
        assert 1 == len(said.splitlines())


def test_a_step_counted_from_here_is_taken_once() -> None:
    """Tried again, where tables are in use, it would count from where it stopped."""
    taken: list[Any] = []
    step = alembic_command._once(taken.append)
    step(None)  # type: ignore[arg-type]

    with pytest.raises(DatabaseError, match="a relative revision is tried once"):
        step(None)  # type: ignore[arg-type]

    assert [None] == taken
