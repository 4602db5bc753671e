"""What Postback may do on its embedded Postgres, and how it takes over what an older version made."""

import asyncio
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from postback import postgres_account, postgres_binaries, postgres_cluster, postgres_role
from postback.embedded import EmbeddedPostgres, EmbeddedPostgresError, superuser_url
from receiver import migrate
from tests.support.beds import FAST
from tests.support.receiver import CHANNELS, running
from tests.test_embedded import ask, cluster_of

#: made by a superuser in every way in which ours are made
MADE = """
CREATE SCHEMA old;
CREATE TYPE old.pair AS (a int, b text);
CREATE TYPE old.word AS ENUM ('x');
CREATE DOMAIN old.short AS text CHECK (length(value) < 10);
CREATE TABLE old.one (id int GENERATED ALWAYS AS IDENTITY, n serial, p old.pair) PARTITION BY RANGE (id);
CREATE TABLE old.part PARTITION OF old.one DEFAULT;
CREATE SEQUENCE old.numbers;
CREATE VIEW old.shown AS SELECT 1 AS one;
CREATE MATERIALIZED VIEW old.kept AS SELECT 1 AS one;
CREATE FUNCTION old.f(old.pair) RETURNS int LANGUAGE sql RETURN 1;
CREATE PROCEDURE old."Odd name"(int) LANGUAGE sql BEGIN ATOMIC SELECT 1; END;
CREATE AGGREGATE old.total(int) (sfunc = int4pl, stype = int);
CREATE TABLE public.theirs (n int);
"""
LEFT = """
SELECT string_agg(format('%s %s', kind, name), ', ') FROM (
    SELECT 'schema', nspname::text, nspowner FROM pg_namespace
    WHERE nspname NOT LIKE 'pg\\_%' AND nspname NOT IN ('information_schema', 'public')
    UNION ALL SELECT 'table', oid::regclass::text, relowner FROM pg_class
    WHERE relnamespace::regnamespace::text NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
    UNION ALL SELECT 'type', oid::regtype::text, typowner FROM pg_type
    WHERE typnamespace::regnamespace::text NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
    UNION ALL SELECT 'function', oid::regprocedure::text, proowner FROM pg_proc
    WHERE pronamespace::regnamespace::text NOT IN ('pg_catalog', 'information_schema')
) AS found (kind, name, owner) WHERE owner <> 'postback'::regrole
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres(tmp_path_factory.mktemp("role") / "data", settings=FAST) as server:
        yield server


@pytest.mark.parametrize(
    "statement",
    [
        "COPY (SELECT 1) TO PROGRAM 'touch {mark}'",
        "COPY (SELECT 1) TO '{mark}'",
        "CREATE TEMP TABLE t (line text); COPY t FROM PROGRAM 'touch {mark}; echo x'",
        "CREATE TEMP TABLE t (line text); COPY t FROM '/etc/passwd'",
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT pg_ls_dir('/')",
        "SELECT lo_import('/etc/passwd')",
        "ALTER SYSTEM SET archive_command = 'touch {mark}'",
        "CREATE FUNCTION f() RETURNS int LANGUAGE c AS 'libc.so.6', 'abort'",
        "LOAD 'auto_explain'",
        "CREATE EXTENSION file_fdw",
        "CREATE ROLE another SUPERUSER",
        "ALTER ROLE postback SUPERUSER",
        "SET ROLE postgres",
        "CREATE DATABASE another",
        "GRANT pg_execute_server_program TO postback",
    ],
)
async def test_our_role_reaches_nothing_beyond_its_database(
    server: EmbeddedPostgres, statement: str, tmp_path: Path
) -> None:
    mark = tmp_path / "mark"
    connection = await asyncpg.connect(server.url)
    try:
        with pytest.raises(asyncpg.PostgresError) as refused:
            await connection.execute(statement.format(mark=mark))
    finally:
        await connection.close()

    assert not mark.exists()
    assert isinstance(refused.value, asyncpg.InsufficientPrivilegeError), refused.value


@pytest.mark.parametrize("who", ["postgres@/postgres", "postgres@/template1", "postback@/template1"])
async def test_nobody_else_is_let_in_and_no_other_database(server: EmbeddedPostgres, who: str) -> None:
    with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError, match="rejects connection"):
        await ask(server.url.replace("postback@/postgres", who), "SELECT 1")


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A data directory as an older version left it: all there is belongs to the superuser."""
    data_dir = tmp_path / "data"
    data_dir.mkdir(mode=0o700)
    binaries = postgres_binaries.find()
    cluster = data_dir / f"pg{binaries.major}"
    postgres_cluster.make(cluster, binaries, postgres_account.choose(cluster, binaries.directory))
    run_as_before(data_dir, MADE)
    return data_dir


def run_as_before(data_dir: Path, *statements: str, migrated: bool = False) -> None:
    """Starts the server as an older version did, with the cluster's own pg_hba.conf, for *statements*."""
    binaries = postgres_binaries.find()
    cluster = data_dir / f"pg{binaries.major}"
    account = postgres_account.choose(cluster, binaries.directory)
    command = [*account.prefix, binaries.program("postgres"), "-D", str(cluster), "-c", "fsync=off"]
    command += ["-c", "listen_addresses=", "-c", f"unix_socket_directories={cluster}"]
    with (data_dir / "old.log").open("ab") as log:
        process = subprocess.Popen(  # noqa: S603
            command,
            stdout=log,
            stderr=log,
            cwd="/",
            env=postgres_cluster.environment(),
            **account.spawn_options,
        )
    url = f"postgresql://postgres@/postgres?host={cluster}&port=5432"
    try:
        asyncio.run(_executed(url, statements, migrated=migrated))
    finally:
        process.terminate()
        process.wait()


async def _executed(url: str, statements: tuple[str, ...], *, migrated: bool) -> None:
    async with asyncio.timeout(60):
        while True:
            try:
                connection = await asyncpg.connect(url)
                break
            except (OSError, asyncpg.CannotConnectNowError):
                await asyncio.sleep(0.05)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()
    if migrated:
        await migrate.upgrade(url, "postback")


async def test_an_installation_of_an_older_version_is_taken_over_and_goes_on(old: Path) -> None:
    await asyncio.to_thread(run_as_before, old, migrated=True)
    with EmbeddedPostgres(old, settings=FAST) as server:
        assert None is await ask(server.url, LEFT)
        await migrate.upgrade(server.url, "postback")
        async with running(server.url, CHANNELS) as receiver:
            answer = await receiver.client.post(receiver.hook(), content=b'{"code": "N101"}')
            assert 200 == answer.status_code


async def test_what_an_older_version_made_in_between_is_taken_over_too(old: Path) -> None:
    with EmbeddedPostgres(old, settings=FAST) as server:
        assert None is await ask(server.url, LEFT)
    await asyncio.to_thread(run_as_before, old, "CREATE TABLE old.later (n int)")
    with EmbeddedPostgres(old, settings=FAST) as server:
        assert None is await ask(server.url, LEFT)
        assert 0 == await ask(server.url, "SELECT count(*) FROM old.later")


async def test_a_server_that_was_killed_is_taken_over_once_it_has_recovered(old: Path) -> None:
    with EmbeddedPostgres(old) as server:
        await ask(server.url, "INSERT INTO old.one (p) VALUES ((1, 'x'))")
        assert server.pid
        os.kill(server.pid, 9)
        (cluster_of(old) / "postmaster.opts").unlink()  # as if its start had been an older version's
        server.stop()
    with EmbeddedPostgres(old) as server:
        assert 1 == await ask(server.url, "SELECT count(*) FROM old.one")


async def test_only_the_first_start_takes_anything_over(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with EmbeddedPostgres(old, settings=FAST):
        pass
    monkeypatch.setattr(postgres_role, "_TAKE_OVER", "SELECT 1/0;\n\n")
    with EmbeddedPostgres(old, settings=FAST) as server:
        assert 1 == await ask(server.url, "SELECT 1")


def test_what_cannot_be_taken_over_ends_the_start_with_the_servers_reason(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_role, "_TAKE_OVER", "SELECT 1/0;\n\n")
    with pytest.raises(EmbeddedPostgresError, match=r"cannot be given to the role postback \(.*division by"):
        EmbeddedPostgres(old, settings=FAST).start()
    monkeypatch.undo()
    with EmbeddedPostgres(old, settings=FAST) as server:
        assert None is asyncio.run(ask(server.url, LEFT))


async def test_tools_that_change_the_server_are_let_in_only_where_they_ask_for_it(old: Path) -> None:
    with EmbeddedPostgres(old, settings=FAST, superuser=True) as server:
        assert "postgres" == await ask(superuser_url(server.url), "SELECT current_user")
    with (
        EmbeddedPostgres(old, settings=FAST) as server,
        pytest.raises(asyncpg.InvalidAuthorizationSpecificationError),
    ):
        await ask(superuser_url(server.url), "SELECT 1")
