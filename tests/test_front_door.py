"""What a caller of the API is told while Postgres is frozen, stalled or gone: in time, and the truth."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import httpx
import pytest

from receiver.app import App
from tests.support.carrier import running
from tests.support.installation import Installation, installation
from tests.support.processes import frozen
from tests.support.sends import STALLED, STALLS, Caller, go_on, postmaster, silent_standby, stall, stored

KEYED = pytest.mark.parametrize("keyed", [True, False], ids=["keyed", "keyless"])
OPEN, CERTAIN = "outcome_unknown", "unavailable"


async def told_once(home: Installation, database_url: str, *texts: str) -> None:
    """Holds that each of *texts* is one message, and that the carrier was called once for it."""
    home.start_sender()
    for text in texts:
        assert 1 == await stored(database_url, text)
    for message in await home.listed(len(texts) + 1):
        await home.until(message["id"], "delivered")
    assert len(texts) + 1 == len(await home.journal())


@KEYED
async def test_a_send_to_a_frozen_postgres_is_taken_once_by_whoever_follows_the_answer(
    database_url: str, keyed: bool
) -> None:
    """With a key nothing leaves before the key was looked up; without, the server that goes on refuses what
    nobody waits for."""
    async with installation(database_url, sender=False) as home:
        assert 202 == (await Caller(home.api, "before", keyed).call()).status_code
        caller = Caller(home.api, "frozen", keyed)
        with frozen(await postmaster(database_url)):
            answer = await caller.call()
        await asyncio.sleep(1)
        assert 0 == await stored(database_url, "frozen")
        await caller.insist()

        assert (503, "5") == (answer.status_code, answer.headers["retry-after"])
        assert (CERTAIN if keyed else OPEN) == caller.codes[0]
        await told_once(home, database_url, "frozen")


@KEYED
async def test_a_send_for_which_there_was_no_connection_yet_is_certain_not_to_be_stored(
    database_url: str, keyed: bool
) -> None:
    async with installation(database_url, sender=False) as home:
        caller = Caller(home.api, "frozen", keyed)
        assert 202 == (await Caller(home.api, "before", keyed).call()).status_code
        async with (
            running(App(home.settings)) as url,
            httpx.AsyncClient(base_url=url, headers=dict(home.api.headers)) as fresh,
        ):
            caller.api = fresh
            with frozen(await postmaster(database_url)):
                await caller.call()
            await asyncio.sleep(1)
            assert [CERTAIN] == caller.codes
            assert 0 == await stored(database_url, "frozen")
            await caller.insist()

        await told_once(home, database_url, "frozen")


@KEYED
async def test_what_a_stalled_postgres_comes_to_too_late_is_refused_as_its_last_act(
    database_url: str, keyed: bool
) -> None:
    async with installation(database_url, sender=False) as home:
        await Caller(home.api, "before", keyed).call()
        await stall(database_url, "inside")
        caller = Caller(home.api, "stalled", keyed)
        await caller.call()
        await go_on(database_url)
        assert 0 == await stored(database_url, "stalled")
        await caller.insist()

        assert [OPEN] == caller.codes
        await told_once(home, database_url, "stalled")


@KEYED
async def test_what_was_about_to_be_committed_is_open_until_it_is_and_never_taken_twice(
    database_url: str, keyed: bool
) -> None:
    """Whoever asks again at once, by key or by the ids, learns no more than that it is open still."""
    async with installation(database_url, sender=False) as home:
        await Caller(home.api, "before", keyed).call()
        await stall(database_url, "committing")
        caller = Caller(home.api, "late", keyed)
        await caller.call()
        assert 0 == await stored(database_url, "late")
        await caller.insist()
        await go_on(database_url)

        assert {OPEN} == set(caller.codes)
        await told_once(home, database_url, "late")


@KEYED
async def test_what_waits_for_a_standby_is_open_until_that_answers(database_url: str, keyed: bool) -> None:
    """It is on the primary's disk, and nobody sees it yet."""
    async with installation(database_url, sender=False) as home:
        await Caller(home.api, "before", keyed).call()
        caller = Caller(home.api, "late", keyed)
        async with silent_standby(database_url):
            await caller.call()
            assert 0 == await stored(database_url, "late")
            insisting = asyncio.create_task(caller.insist())
            await asyncio.sleep(1)
            assert not insisting.done()
        await insisting

        assert {OPEN} == set(caller.codes)
        await told_once(home, database_url, "late")


async def test_a_commit_whose_answer_was_lost_is_asked_about_and_answered_as_taken(database_url: str) -> None:
    """The connection ends in the moment after the commit, as with a standby that takes over."""
    async with installation(database_url, sender=False) as home, cut_after_commit(home, database_url) as api:
        caller = Caller(api, "cut off", keyed=False)
        answer = await caller.call()

        assert 202 == answer.status_code, answer.text
        assert 1 == await stored(database_url, "cut off")


@pytest.mark.parametrize("where", STALLS)
async def test_one_stalled_send_is_told_of_in_less_than_the_stall(database_url: str, where: str) -> None:
    async with installation(database_url, sender=False) as home:
        await Caller(home.api, "before", False).call()
        await stall(database_url, where)
        began = asyncio.get_running_loop().time()
        await Caller(home.api, "stalled", False).call()

        assert asyncio.get_running_loop().time() - began < STALLED


@asynccontextmanager
async def cut_after_commit(home: Installation, database_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """An API whose connection for sends ends with the first commit that it makes, unanswered."""
    app = App(home.settings)
    committer = app._submit._commit._committer
    write = committer._write

    async def cut(connection: Any, batch: Any) -> Any:
        await write(connection, batch)
        raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")

    committer._write = cut
    async with running(app) as url, httpx.AsyncClient(base_url=url, headers=dict(home.api.headers)) as api:
        yield api
