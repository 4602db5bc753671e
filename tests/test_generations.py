"""The functions of several versions beside each other: nobody has to stop for a migration."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from postback import practice
from receiver import auth, config, generation, migrate, secrets, sql
from receiver import db as database
from receiver.config import Settings
from receiver.generation import TOO_OLD
from receiver.ingest import Ingest
from tests.support import commands
from tests.support.app import App, running_app
from tests.support.beds import connect
from tests.support.carrier import CONTROL, running_simulator
from tests.support.commands import Started
from tests.support.functions import changed, release
from tests.support.installation import CHANNEL, THEM, TOKEN, channel_keys
from tests.support.processes import ROOT
from tests.support.store import SCHEMA, Connection, arrival, postback

pytestmark = pytest.mark.stock

SUBSCRIBERS, SENDS, REPORTS = 4, 20, 60


async def test_a_version_goes_on_beside_the_next_one(
    database_url: str, db: Connection, tmp_path: Path
) -> None:
    """On the connection that it had, and on new ones."""
    stored = [await _put(ingest := _ingest(database_url), "T1")]
    await migrate.install(db, SCHEMA, changed(tmp_path))
    stored += [await _put(ingest, "T2"), await _put(other := _ingest(database_url), "T3")]
    await ingest.close()
    await other.close()

    assert ["applied"] * 3 == stored


async def test_a_version_that_changes_only_tables_starts_after_it_has_migrated(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(sql.CHANGES, tmp_path / "versions")
    (tmp_path / "versions" / "9999_a_table.py").touch()
    next_one = sql.Functions(Path(sql.__file__).parent, tmp_path / "versions")
    await generation.check(database_url, SCHEMA)

    monkeypatch.setattr(sql, "ours", lambda: next_one)

    with pytest.raises(generation.TooOld, match="postback migrate"):
        await generation.check(database_url, SCHEMA)


async def test_the_newest_generation_and_the_one_before_it_are_kept(
    database_url: str, db: Connection, tmp_path: Path
) -> None:
    ours, *later = (sql.ours(), *(changed(tmp_path, field) for field in ("one", "two", "three")))
    for functions in later:
        await migrate.install(db, SCHEMA, functions)
    newest = [later[2].generation, later[1].generation]
    assert newest == await _generations(db)
    assert newest == sorted(await _of_functions(db), key=newest.index)

    await migrate.upgrade(database_url, SCHEMA)  # back to the version that this is

    assert [ours.generation, later[2].generation] == await _generations(db)


async def test_functions_of_a_release_without_generations_are_the_ones_before(
    db: Connection, tmp_path: Path
) -> None:
    for statement in sql.drop_statements(SCHEMA):
        await db.execute(statement)
    await db.execute("CREATE TYPE postback.event_in AS (id uuid)")
    await db.execute("COMMENT ON TYPE postback.event_in IS '5f3759df'")
    await db.execute("CREATE FUNCTION postback.ingest(postback.event_in) RETURNS void LANGUAGE sql AS ''")

    await migrate.install(db, SCHEMA, sql.ours())
    assert [sql.ours().generation, ""] == await _generations(db)
    await migrate.install(db, SCHEMA, later := changed(tmp_path))

    assert [later.generation, sql.ours().generation] == await _generations(db)
    assert await db.fetchval("SELECT to_regproc('postback.ingest')") is None


async def test_tables_of_a_later_release_stay_and_our_functions_come_back(
    database_url: str, db: Connection
) -> None:
    """Whoever goes back to the version before migrates with it, as with every other."""
    await db.execute("UPDATE postback.alembic_version SET version_num = '9999'")
    for statement in sql.drop_statements(SCHEMA):
        await db.execute(statement)

    await migrate.upgrade(database_url, SCHEMA)

    assert "9999" == await migrate.revision(database_url, SCHEMA)
    ingest = _ingest(database_url)
    assert "applied" == await _put(ingest, "T1")
    await ingest.close()


async def test_two_versions_take_send_and_forward_side_by_side(database_url: str, tmp_path: Path) -> None:
    """And the one that is too old for the third version ends, and says so."""
    async with _side_by_side(database_url, tmp_path) as (old, new, apps):
        messages = [await side.send() for _ in range(SENDS // 2) for side in (old, new)]
        told = await asyncio.gather(*(side.tell(n) for n in range(REPORTS // 2) for side in (old, new)))
        assert [200] * REPORTS == told
        db = await connect(database_url)
        await _until(db, "SELECT count(*) FROM postback.event WHERE status = 'delivered'", SENDS)
        await _until(db, "SELECT count(*) FROM postback.message WHERE origin = 'external'", REPORTS)
        assert 0 == await db.fetchval("SELECT count(*) FROM postback.outbox")
        events = await db.fetchval("SELECT count(*) FROM postback.event")
        for app in apps:
            heard = await app.taken(events, within=60)
            assert events == len({one.id for one in heard})
        assert {"delivered"} == {await old.status(message) for message in messages}
        for process in (*old.processes, *new.processes):
            assert [] == [line for line in process.errors if '"level": "error"' in line]

        for field in ("two", "three"):
            await migrate.install(db, SCHEMA, changed(tmp_path, field))
        for process in (*old.processes, *new.processes):
            await asyncio.to_thread(process.says, "too old for the database")
            assert TOO_OLD == await asyncio.to_thread(process.wait)
        await db.close()


async def test_a_worker_that_is_too_old_is_started_anew_with_what_is_installed_by_then(
    database_url: str, db: Connection, tmp_path: Path
) -> None:
    """Whoever supervises it starts it, and nobody has to stop the whole."""
    code = release(tmp_path / "code", "note")
    where = {
        "DATABASE_URL": database_url,
        "POSTBACK_SECRET_KEY": "a secret key for tests",
        "POSTBACK_CHANNELS": json.dumps({CHANNEL: {"provider": "sinch_mms", "tokens": [TOKEN]}}),
        "PYTHONPATH": str(code),
    }
    assert 0 == commands.run("migrate", cwd=tmp_path, **where)[0]
    with commands.postback("serve", "--port", "0", "--workers", "2", cwd=tmp_path, **where) as web:
        url = await asyncio.to_thread(web.ready)
        for file in ("receiver/sql/types.sql", "receiver/rows.py"):  # somebody upgrades
            shutil.copy(ROOT / file, code / file)
        await migrate.install(db, SCHEMA, changed(tmp_path, "two"))
        await migrate.upgrade(database_url, SCHEMA)

        for worker in ("web.1", "web.2"):
            await asyncio.to_thread(web.says, f"{worker} | ended with exit code {TOO_OLD}")
        for worker in ("web.1", "web.2"):
            await _said_twice(web, f"{worker} | ready ")
        async with httpx.AsyncClient() as client:
            hook = f"{url}/hooks/{CHANNEL}/{TOKEN}"
            told = [await client.post(hook, json=postback("N101", f"T{number}")) for number in range(20)]

    assert [200] * 20 == [answer.status_code for answer in told]
    assert 20 == await db.fetchval("SELECT count(*) FROM postback.payload")


async def _said_twice(process: Started, words: str) -> None:
    async with asyncio.timeout(60):
        while len([line for line in process.errors if words in line]) < 2:  # noqa: ASYNC110 - a pipe's
            await asyncio.sleep(0.1)


@dataclass
class _Side:
    """The processes of one version, and its API."""

    processes: list[Started]
    api: httpx.AsyncClient

    async def send(self) -> str:
        answer = await self.api.post("/v1/messages", json={"to": THEM, "text": "Hello"})
        assert 202 == answer.status_code, answer.text
        return str(answer.json()["data"][0]["id"])

    async def tell(self, number: int) -> int:
        """A carrier's report on a message that somebody else sent."""
        body = [postback("N101", f"{self.api.base_url.port}-{number}")]
        return (await self.api.post(f"/hooks/{CHANNEL}/{TOKEN}", json=body)).status_code

    async def status(self, message_id: str) -> str:
        return str((await self.api.get(f"/v1/messages/{message_id}")).json()["status"])


@asynccontextmanager
async def _side_by_side(database_url: str, tmp_path: Path) -> AsyncIterator[tuple[_Side, _Side, list[App]]]:
    """Two versions of our code on one database, the older one first, and apps that hear of everything."""
    before = release(tmp_path / "before", "note")
    async with AsyncExitStack() as stack:
        carrier = await stack.enter_async_context(running_simulator([]))
        keys = channel_keys("sinch_mms", carrier)
        settings = config.settings(
            {"database_url": database_url, "secret_key": ["k" * 16], "channels": {CHANNEL: keys}}
        )
        variables = {
            "DATABASE_URL": database_url,
            "POSTBACK_SECRET_KEY": "k" * 16,
            "POSTBACK_CHANNELS": json.dumps({CHANNEL: keys}),
            "POSTBACK_PRIVATE_NETWORKS": '["127.0.0.0/8"]',
        }
        key = await _key(settings)
        sides = []
        for code in (before, ROOT):
            cwd = tmp_path / f"data-{code.name}"
            cwd.mkdir()
            version = {**variables, "PYTHONPATH": str(code)}
            assert (0, "") == commands.run("migrate", cwd=cwd, **version)[:2]
            processes = [
                stack.enter_context(commands.postback(*command.split(), cwd=cwd, **version))
                for command in ("serve --port 0", "send", "forward")
            ]
            url = await asyncio.to_thread(processes[0].ready)
            api = httpx.AsyncClient(base_url=url, headers={"authorization": f"Bearer {key}"}, timeout=30)
            sides.append(_Side(processes, await stack.enter_async_context(api)))
        [account] = practice.accounts(settings, str(sides[0].api.base_url).rstrip("/"), carrier)
        async with httpx.AsyncClient(headers=CONTROL) as client:
            opened = await client.post(f"{carrier}/practice/accounts", json=account.model_dump())
            assert opened.is_success, opened.text
        apps = [await stack.enter_async_context(running_app()) for _ in range(SUBSCRIBERS)]
        for app in apps:
            answer = await sides[1].api.post("/v1/subscribers", json={"url": app.url})
            assert 201 == answer.status_code, answer.text
        for side in sides:
            await asyncio.to_thread(side.processes[1].says, "sending")
            await asyncio.to_thread(side.processes[2].says, "forwarding")
        yield sides[0], sides[1], apps


async def _key(settings: Settings) -> str:
    engine = database.engine(settings.database_url, settings.db_schema, size=1)
    try:
        keys = secrets.load(settings)
        await keys.check(engine)
        return await auth.create_key(engine, keys, name="test", scopes=list(auth.Scope))
    finally:
        await engine.dispose()


def _ingest(database_url: str) -> Ingest:
    ingest = Ingest(database_url, SCHEMA)
    ingest.open()
    return ingest


async def _put(ingest: Ingest, tracking_id: str) -> str:
    return await ingest.put(arrival(postback("N101", tracking_id)))


async def _generations(db: Connection) -> list[str]:
    return [row["generation"] for row in await db.fetch(sql.GENERATIONS, f'"{SCHEMA}"')]


async def _of_functions(db: Connection) -> set[str]:
    """The generations that functions in the schema belong to."""
    names = await db.fetch("SELECT proname FROM pg_proc WHERE pronamespace = 'postback'::regnamespace")
    return {row["proname"].rpartition("_")[2] for row in names}


async def _until(db: Connection, statement: str, number: int, within: float = 60) -> None:
    async with asyncio.timeout(within):
        while await db.fetchval(statement) < number:  # noqa: ASYNC110 - Postgres tells nobody
            await asyncio.sleep(0.1)
