"""Every route of the API while Postgres is frozen, and after it: 503 in time, and no wait is left behind."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg
import httpx
import pytest
from uuid_utils.compat import uuid7

from receiver import api as routes
from receiver.app import App
from receiver.config import Settings
from receiver.db import DatabaseError, Full, Unreachable
from receiver.pulse import ANSWER, Pulse, Silent
from tests.support.carrier import running
from tests.support.idle import Idle, idle
from tests.support.installation import THEM, US, Installation, installation
from tests.support.patience import PATIENCE
from tests.support.processes import frozen
from tests.support.sends import postmaster

#: seconds in which nobody has anything to do; it took from ten to thirty-two
IN_TIME = ANSWER + 2.0
#: what answers without Postgres: /metrics says of it that it is down
WITHOUT = ("/healthz", "/openapi.json", "/docs", "/metrics")
STREAM = "/v1/events/stream"
CALLED_OFF = {"unavailable", "outcome_unknown"}


@dataclass(frozen=True)
class Call:
    """An operation of the OpenAPI document with its example as its body."""

    method: str
    path: str
    body: Any

    @property
    def address(self) -> str:
        named = {
            "{id}": str(uuid7()),
            "{our_number}": US,
            "{contact}": THEM,
            "{signature}": "x",
            "{name}": "x",
        }
        path = self.path
        for name, value in named.items():
            path = path.replace(name, value)
        return path


def _body(document: Mapping[str, Any], operation: Mapping[str, Any]) -> Any:
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if content is None:
        return None
    name = content["schema"]["$ref"].rpartition("/")[2]
    return document["components"]["schemas"][name]["examples"][0]


def calls() -> list[Call]:
    """All that ask Postgres. (A file is given only to an address that is signed.)"""
    document = routes.description()
    return [
        Call(method.upper(), path, _body(document, operation))
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if path not in WITHOUT and not path.startswith("/media")
    ]


async def ask(api: httpx.AsyncClient, call: Call, clock: Idle) -> tuple[httpx.Response, float]:
    """The answer, and the seconds on *clock* until it came; of the stream, its beginning."""
    began = clock.seconds
    given = {"json": call.body} if call.body is not None else {}
    if call.path == "/v1/media":
        given = {"content": b"\x89PNG\r\n\x1a\n", "headers": {"content-type": "image/png"}}
    async with api.stream(call.method, call.address, timeout=PATIENCE, **given) as answer:
        if not answer.is_success:
            await answer.aread()
    return answer, clock.seconds - began


async def ask_all(api: httpx.AsyncClient, wanted: Sequence[Call]) -> list[tuple[httpx.Response, float]]:
    """Asks all at once."""
    async with idle() as clock:
        return await asyncio.gather(*(ask(api, call, clock) for call in wanted))


async def answers_again(api: httpx.AsyncClient, within: float = PATIENCE) -> bool:
    """Whether a list comes within so many seconds."""
    deadline = asyncio.get_running_loop().time() + within
    while asyncio.get_running_loop().time() < deadline:
        if (await api.get("/v1/messages")).is_success:
            return True
        await asyncio.sleep(0.05)
    return False


def without_spool(home: Installation) -> Settings:
    return home.settings.model_copy(update={"spool": False})


@pytest.mark.parametrize("known", [True, False], ids=["the key is known", "the key has to be looked up"])
async def test_while_postgres_is_frozen_every_route_answers_503_in_time(
    database_url: str, known: bool
) -> None:
    async with (
        installation(database_url, sender=False) as home,
        running(App(without_spool(home))) as url,
        httpx.AsyncClient(base_url=url, headers=dict(home.api.headers)) as api,
    ):
        if known:
            assert (await api.get("/v1/messages")).is_success
        wanted = [call for call in calls() if not (known and call.path == STREAM)]
        with frozen(await postmaster(database_url)):
            answered = await ask_all(api, wanted)
            at_once = await ask_all(api, wanted)

        assert len(answered) > 30
        for call, (answer, seconds) in [
            *zip(wanted, answered, strict=True),
            *zip(wanted, at_once, strict=True),
        ]:
            said = (call.method, call.path, seconds)
            assert 503 == answer.status_code, said
            assert seconds < IN_TIME, said
            assert "5" == answer.headers["retry-after"], said
            assert "application/problem+json" == answer.headers["content-type"], said
            assert answer.json()["code"] in CALLED_OFF, said
        # whoever comes when it is known does not wait
        assert max(seconds for _, seconds in at_once) < max(seconds for _, seconds in answered)


async def test_a_change_that_was_cut_off_is_told_how_to_go_on_and_anything_else_that_nothing_was_done(
    database_url: str,
) -> None:
    """The key is known, so each call has come as far as Postgres; a send tells of itself."""
    told = {(one.method, one.path): one.undecided for one in routes.OPERATIONS}
    wanted = [call for call in calls() if (call.method, call.path) in told and call.path != STREAM]
    async with installation(database_url, sender=False) as home:
        assert (await home.api.get("/v1/messages")).is_success
        with frozen(await postmaster(database_url)):
            answered = await ask_all(home.api, wanted)

    for call, (answer, _) in zip(wanted, answered, strict=True):
        undecided, problem = told[call.method, call.path], answer.json()
        if undecided:
            assert ("outcome_unknown", undecided) == (problem["code"], problem["detail"]), call
        elif (call.method, call.path) != ("POST", "/v1/messages"):
            assert "unavailable" == problem["code"], call


async def test_a_change_that_was_cut_off_and_is_asked_for_again_is_made_once(database_url: str) -> None:
    async with installation(database_url, sender=False) as home:
        address = f"/v1/opt-outs/{US}/{THEM}"
        blocker = await asyncpg.connect(database_url)
        async with blocker.transaction():
            await blocker.execute("UPDATE postback.feed_head SET seq = seq")
            cut_off = await home.api.put(address)
        await blocker.close()
        again, once_more = await home.api.put(address), await home.api.put(address)

    assert (503, "outcome_unknown") == (cut_off.status_code, cut_off.json()["code"])
    assert 200 == again.status_code == once_more.status_code
    assert 1 == len(again.json()["ledger"]) == len(once_more.json()["ledger"])


async def test_after_the_thaw_every_route_answers_again_and_no_connection_is_stuck(database_url: str) -> None:
    async with installation(database_url, sender=False) as home:
        with frozen(await postmaster(database_url)):
            await ask_all(home.api, calls())
        assert await answers_again(home.api)
        # more at once than there are connections
        again = [call for call in calls() if call.method == "GET"] * 3
        for call, (answer, seconds) in zip(again, await ask_all(home.api, again), strict=True):
            assert answer.status_code in (200, 404), (call, answer.text)
            assert seconds < IN_TIME, call


async def test_what_needs_no_postgres_answers_as_ever(database_url: str) -> None:
    async with installation(database_url, sender=False) as home:
        with frozen(await postmaster(database_url)):
            assert 503 == (await home.api.get("/v1/messages")).status_code
            answers = [
                (await home.api.get(path, timeout=PATIENCE)).status_code for path in (*WITHOUT, "/readyz")
            ]

        assert [200] * 5 == answers


async def test_a_list_that_waits_for_a_lock_takes_its_time_as_long_as_postgres_answers(
    database_url: str,
) -> None:
    async with installation(database_url, sender=False) as home:
        blocker = await asyncpg.connect(database_url)
        async with blocker.transaction():
            await blocker.execute("LOCK TABLE postback.conversation")
            listing = asyncio.create_task(home.api.get("/v1/conversations", timeout=PATIENCE))
            done, _ = await asyncio.wait({listing}, timeout=2 * ANSWER + 1)
            assert not done
        answer = await listing
        await blocker.close()

        assert 200 == answer.status_code


@pytest.mark.parametrize(
    ("error", "silent"),
    [(Unreachable("away"), True), (Full("no room"), False), (DatabaseError("a wrong password"), False)],
)
async def test_a_server_that_speaks_is_waited_for_even_if_it_has_no_connection_to_spare(
    error: Exception, silent: bool
) -> None:
    async def connect() -> Any:
        raise error

    async def work() -> str:
        await asyncio.sleep(1)
        return "done"

    pulse = Pulse(connect)
    if silent:
        with pytest.raises(Silent):
            await pulse.heed(work())
    else:
        assert "done" == await pulse.heed(work())
    await pulse.close()


async def test_what_is_cut_off_may_say_what_it_knows() -> None:
    async def work() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            raise LookupError("it was under way") from None

    async def connect() -> Any:
        raise Unreachable("no")

    pulse = Pulse(connect)
    with pytest.raises(LookupError, match="under way"):
        await pulse.heed(work())
    await pulse.close()


def test_every_change_says_how_to_go_on_when_its_outcome_is_unknown() -> None:
    """Sends do in their answers; reading changes nothing."""
    reads = {"/v1/messages/lookup"}
    sends = {"/v1/messages", "/v1/conversations/{id}/messages"}
    changes = {
        f"{one.method} {one.path}"
        for one in routes.OPERATIONS
        if one.method != "GET"
        and one.path not in reads
        and (one.method, one.path) not in {("POST", p) for p in sends}
    }

    assert changes == {f"{one.method} {one.path}" for one in routes.OPERATIONS if one.undecided}
