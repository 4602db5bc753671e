"""``postback secrets rotate``: what a new key takes over, and what still needs the old one."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel import select

from models import Subscriber
from postback import checkup_database
from postback.checkup import Finding, Level
from receiver import auth, rotation
from receiver import db as databases
from receiver.config import Settings, settings
from receiver.secrets import Secrets, Undecryptable
from receiver.subscribers import PURPOSE, Subscribers, earlier_secrets, shown
from tests.support.commands import run
from tests.support.media import PNG
from tests.support.receiver import CHANNEL, CHANNELS, TOKEN, running
from tests.support.store import SCHEMA

OLD, NEW = "the old key of the tests", "the new key of the tests"
URL = "https://app.example.com/events"
DAY = timedelta(days=1)


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = databases.engine(database_url, SCHEMA, size=1)
    yield engine
    await engine.dispose()


async def used(engine: AsyncEngine, *keys: str) -> Secrets:
    """The *keys*, as a process knows them that was started with them."""
    listed = Secrets(keys)
    await listed.check(engine)
    return listed


def rotated(database_url: str, cwd: Path) -> tuple[int, str, str]:
    variables = {"DATABASE_URL": database_url, "POSTBACK_SECRET_KEY": f'["{NEW}", "{OLD}"]'}
    return run("secrets", "rotate", cwd=cwd, **variables)


async def readable(engine: AsyncEngine, *keys: str) -> dict[UUID, set[str]]:
    """The secrets of each subscriber, as *keys* read them. Raises ``Undecryptable``."""
    async with engine.connect() as connection:
        rows = (await connection.execute(select(Subscriber.__table__))).all()  # type: ignore[attr-defined]
    return {
        row.id: {
            shown(Secrets(keys).decrypt(PURPOSE, one))
            for one in (row.secret, *(earlier for earlier, _ in earlier_secrets(row)))
        }
        for row in rows
    }


async def made(engine: AsyncEngine, keys: Secrets, *, rotations: int = 0) -> tuple[UUID, set[str]]:
    """A subscriber whose secret was changed so many times, and all secrets that sign for it."""
    subscribers = Subscribers(engine, keys)
    subscriber, first = await subscribers.create(URL, None, None, None)
    later = [await subscribers.rotate(subscriber, DAY, None) for _ in range(rotations)]
    return subscriber, {first, *(secret for secret in later if secret)}


async def test_the_new_key_alone_reads_every_secret_once_they_are_rotated(
    engine: AsyncEngine, database_url: str, tmp_path: Path
) -> None:
    before = await used(engine, OLD)
    subscribers = dict([await made(engine, before), await made(engine, before, rotations=3)])
    both = await used(engine, NEW, OLD)
    subscribers |= dict([await made(engine, both, rotations=1)])
    with pytest.raises(Undecryptable):
        await readable(engine, NEW)

    first, again = rotated(database_url, tmp_path), rotated(database_url, tmp_path)

    assert subscribers == await readable(engine, NEW)
    assert (0, "") == (first[0], first[2].strip())
    assert "secrets of subscribers: 2 encrypted anew, 1 left as they were" in first[1]
    assert "secrets of subscribers: 0 encrypted anew, 3 left as they were" in again[1]
    assert "Nothing needs the older keys: take them out of secret_key" in again[1]


async def test_a_rotation_that_was_stopped_leaves_all_readable_and_goes_on(engine: AsyncEngine) -> None:
    before = await used(engine, OLD)
    subscribers = dict([await made(engine, before, rotations=1) for _ in range(5)])
    both = await used(engine, NEW, OLD)
    work = rotation.renewed(engine, both, await rotation.subscribers(engine))
    stopped = [await anext(work) for _ in range(2)]
    await work.aclose()  # type: ignore[attr-defined]

    assert [True, True] == [one.renewed for one in stopped]
    assert subscribers == await readable(engine, NEW, OLD)

    # a process that still has the old key in front makes another one meanwhile
    subscribers |= dict([await made(engine, before)])
    listed = await rotation.subscribers(engine)
    rest = [one.renewed async for one in rotation.renewed(engine, both, listed)]
    assert [False, False, True, True, True, True] == rest
    assert subscribers == await readable(engine, NEW)


async def test_a_secret_that_no_listed_key_reads_is_named_and_the_others_are_done(
    engine: AsyncEngine, database_url: str, db: asyncpg.Connection, tmp_path: Path
) -> None:
    before = await used(engine, OLD)
    lost, _ = await made(engine, Secrets(["a key that nobody has any more"]))
    kept, secret = await made(engine, before, rotations=1)
    gone = Secrets(["a key that nobody has any more"]).encrypt(PURPOSE, b"x" * 32)
    past = datetime.now(UTC) - DAY
    # one that signs no longer may be older than the oldest key
    await db.execute(
        "UPDATE postback.subscriber SET earlier_secrets = $1, earlier_until = $2 WHERE id = $3",
        [gone], [past], kept,
    )  # fmt: skip
    _, output, _ = rotated(database_url, tmp_path)
    await db.execute("UPDATE postback.subscriber SET earlier_secrets = '{}', earlier_until = '{}'")
    await db.execute("DELETE FROM postback.subscriber WHERE id = $1", lost)

    assert "1 encrypted anew, 1 left as they were" in output
    assert [f"subscriber {lost} has"] == [
        line[: len(f"subscriber {lost} has")] for line in output.splitlines() if "no listed key reads" in line
    ]
    assert {kept: secret} == await readable(engine, NEW)
    assert "may leave secret_key once none of that is left" in output


async def test_what_cannot_be_made_anew_is_named_with_its_end(
    engine: AsyncEngine, database_url: str, db: asyncpg.Connection, tmp_path: Path
) -> None:
    channels = {**CHANNELS, "locked": {"provider": "sinch_mms", "tokens": [TOKEN], "bearer": "right"}}
    async with running(
        database_url, channels, secret_key=[OLD], public_url="https://sms.example.com"
    ) as receiver:
        bearer = {"Authorization": "Bearer wrong"}
        refused = await receiver.client.post(receiver.hook("locked"), content=b"{}", headers=bearer)
        headers = {"Authorization": f"Bearer {receiver.key}"}
        image = {**headers, "Content-Type": "image/png"}
        file = await receiver.client.post(f"{receiver.url}/v1/media", content=PNG, headers=image)
        assert (401, 201) == (refused.status_code, file.status_code)
        template = {"channel": CHANNEL, "name": "t", "text": "Hi", "media": [{"id": file.json()["id"]}]}
        naming = {"channel": CHANNEL, "name": "n", "text": f"See /media/{file.json()['id']}/"}
        for one in (template, naming):
            stored = await receiver.client.post(f"{receiver.url}/v1/templates", json=one, headers=headers)
            assert 201 == stored.status_code, stored.text
    before = Secrets([OLD])
    ends = datetime.now(UTC) + DAY
    await auth.create_key(engine, before, name="ending", expires_at=ends)
    for name in ("revoked", "kept"):
        await auth.create_key(engine, before, name=name)
    await db.execute("UPDATE postback.api_key SET revoked_at = now() WHERE name = 'revoked'")
    await _erased(db)
    after = await used(engine, NEW, OLD)
    await auth.create_key(engine, after, name="new")
    _, output, _ = rotated(database_url, tmp_path)
    said = [line for line in output.splitlines() if line.startswith("an older key is needed for")]
    since = await db.fetchval("SELECT max(since) FROM postback.secret_key_check")

    assert 5 == len(said), output
    assert "3 API keys (tests, ending, kept): make others" in said[0]
    assert f"addresses of files that were given out before {since:%Y-%m-%d %H:%M} UTC" in said[1]
    assert f"wait until {since + 7 * DAY + timedelta(hours=1):%Y-%m-%d %H:%M} UTC" in said[1]
    assert "the files of 1 templates: save these templates anew" in said[2]
    assert "1 requests without proof" in said[3]
    assert f"or wait until {since + 30 * DAY:%Y-%m-%d %H:%M} UTC" in said[3]
    assert "the opt-outs of 1 erased people: without end" in said[4]
    assert "may leave secret_key once none of that is left" in output

    await db.execute("UPDATE postback.api_key SET revoked_at = now() WHERE name IN ('tests', 'kept')")
    _, output, _ = rotated(database_url, tmp_path)
    assert "1 API keys (ending): make others" in output
    assert f"or wait until {ends:%Y-%m-%d %H:%M} UTC, when the last of them ends" in output


async def test_what_was_made_with_the_new_key_needs_no_older_one(
    engine: AsyncEngine, database_url: str, db: asyncpg.Connection
) -> None:
    await used(engine, OLD)
    both = await used(engine, NEW, OLD)
    async with running(database_url, secret_key=[NEW, OLD]) as receiver:
        headers = {"Authorization": f"Bearer {receiver.key}", "Content-Type": "text/plain"}
        await receiver.client.post(f"{receiver.url}/v1/media", content=b"Hi", headers=headers)
    await _erased(db)

    assert [] == await rotation.needs(engine, both, _settings(database_url))
    # and so it goes on without
    async with running(database_url, secret_key=[NEW]) as receiver:
        answer = await receiver.client.get(f"{receiver.url}/v1/messages", headers=headers)
        assert 200 == answer.status_code


async def test_an_old_key_for_opt_outs_finds_the_erased_and_is_accepted_for_nothing_else(
    engine: AsyncEngine, database_url: str, tmp_path: Path
) -> None:
    contact = "+12065550123"
    async with running(database_url, secret_key=[OLD]) as receiver:
        headers = {"Authorization": f"Bearer {receiver.key}"}
        opted_out = await receiver.client.put(f"{receiver.url}/v1/opt-outs/*/{contact}", headers=headers)
        assert 200 == opted_out.status_code, opted_out.text
    variables = {"DATABASE_URL": database_url, "POSTBACK_SECRET_KEY": OLD}
    code, _, errors = run("erase", contact, "--yes", cwd=tmp_path, **variables)
    assert 0 == code, errors
    both = await used(engine, NEW, OLD)

    needed = await rotation.needs(engine, both, _settings(database_url))
    assert "the opt-outs of 1 erased people" in [need.what for need in needed]
    covered = await rotation.needs(engine, both, _settings(database_url, opt_out_keys=[OLD]))
    assert [need for need in needed if "erased" not in need.what] == covered

    sent, refused = [], []
    for keys in ([OLD], []):
        async with running(database_url, secret_key=[NEW], opt_out_keys=keys) as receiver:
            answer = await receiver.client.get(f"{receiver.url}/v1/messages", headers=headers)
            refused.append(answer.status_code)
            own = {"Authorization": f"Bearer {receiver.key}"}
            send = {"to": contact, "text": "Hi", "channel": CHANNEL}
            answer = await receiver.client.post(f"{receiver.url}/v1/messages", json=send, headers=own)
            sent += [message["status"] for message in answer.json()["data"]]
    assert ["rejected", "accepted"] == sent
    assert [401, 401] == refused


async def test_a_key_that_left_although_erased_people_need_it_is_missed_by_the_doctor(
    engine: AsyncEngine, database_url: str, db: asyncpg.Connection
) -> None:
    await used(engine, OLD)
    await _erased(db)
    await used(engine, NEW, OLD)
    both, alone = _settings(database_url), _settings(database_url, secret_key=[NEW])
    found = {listed: await _looked_at(given) for listed, given in (("both", both), ("alone", alone))}

    assert Level.OK is found["both"].level
    assert Level.WARNING is found["alone"].level
    assert "opt-outs of 1 erased people" in found["alone"].said
    assert found["alone"].remedy.startswith("list it as opt_out_keys")
    aside = _settings(database_url, secret_key=[NEW], opt_out_keys=[OLD])
    assert Level.OK is (await _looked_at(aside)).level

    await db.execute("DELETE FROM postback.opt_out_entry")
    await _erased(db)  # since the new key is in use
    assert Level.OK is (await _looked_at(alone)).level


def test_a_single_key_is_told_what_to_do_first(database_url: str, tmp_path: Path) -> None:
    code, output, errors = run(
        "secrets", "rotate", cwd=tmp_path, DATABASE_URL=database_url, POSTBACK_SECRET_KEY=NEW
    )

    assert (1, "") == (code, output)
    assert "postback secrets key" in errors
    assert "in front of" in errors


def _settings(database_url: str, **more: Any) -> Settings:
    return settings({"database_url": database_url, "secret_key": [NEW, OLD], "channels": CHANNELS, **more})


async def _looked_at(given: Settings) -> Finding:
    """What the doctor says of the keys that the database was used with."""
    found = [one async for one in checkup_database.examine(given) if one.check == "secret key used"]
    return found[0]


async def _erased(db: asyncpg.Connection) -> None:
    """Somebody opted out, and is erased: two entries of the ledger, and a hash instead of the number."""
    for word in ("STOP", "STOP"):
        await db.execute(
            """INSERT INTO postback.opt_out_entry
                   (id, contact, contact_hash, our_number, opts_out, at, source, certainty, word)
               VALUES (gen_random_uuid(), '+1206•••0123', '\\x01', '*', true, clock_timestamp(), 'keyword',
                   'certain', $1)""",
            word,
        )
