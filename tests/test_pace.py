"""The pace of calls to a carrier: one rate for an account, and rest after a refused poll."""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from receiver import config, secrets
from receiver.channel_checks import providers_of
from receiver.metrics.definitions import POLLS_REFUSED
from receiver.outbox import Outbox
from sender import loop, pace
from sender.pace import PacedClient
from tests.support.beds import connect
from tests.support.carrier import running
from tests.support.installation import TOKEN
from tests.support.patience import PATIENCE
from tests.support.records import accept, outgoing

pytestmark = pytest.mark.usefixtures("unhurried")

RATE, SLOW, SENDS = 20.0, 4.0, 12
TAKEN = {
    "meta": {"code": 200, "status": "SUCCESS"},
    "msg": "Queued",
    "data": {"messages": [{"message_id": "m"}]},
}
NOTHING = {"meta": {"code": 200, "status": "SUCCESS"}, "msg": "None", "data": {"responses": ""}}


class Carrier:
    """Answers every send and poll; *calls* are the times of each key's calls, *polls* those of the polls,
    *lists* the same by the list that is polled."""

    def __init__(self) -> None:
        self.calls: dict[str, list[float]] = defaultdict(list)
        self.polls: list[float] = []
        self.lists: dict[str, list[float]] = defaultdict(list)
        self.refusal: tuple[int, dict[str, str], dict[str, Any]] | None = None
        routes = [
            Route("/send-sms", self._sent, methods=["POST"]),
            Route("/get-responses", self._polled),
            Route("/get-sms", self._polled),
        ]
        self.app = Starlette(routes=routes)

    async def _sent(self, request: Request) -> Response:
        self.calls[request.headers["appkey"]].append(time.monotonic())
        return JSONResponse(TAKEN)

    async def _polled(self, request: Request) -> Response:
        self.calls[request.headers["appkey"]].append(time.monotonic())
        self.polls.append(time.monotonic())
        self.lists[request.query_params.get("type", "")].append(time.monotonic())
        if self.refusal:
            status, headers, body = self.refusal
            return JSONResponse(body, status, headers)
        return JSONResponse(NOTHING)


def settings_of(database_url: str, data_dir: Path, url: str, **channels: dict[str, Any]) -> config.Settings:
    own = {"provider": "cellcast", "tokens": [TOKEN], "base_url": url, "api_key": "one"}
    return config.settings(
        {
            "database_url": database_url,
            "data_dir": str(data_dir),
            "secret_key": "a secret key for tests",
            "channels": {name: {**own, **keys} for name, keys in channels.items()},
        }
    )


@asynccontextmanager
async def sending(settings: config.Settings) -> AsyncIterator[None]:
    stop = asyncio.Event()
    task = asyncio.create_task(loop.run(settings, providers_of(settings), stop))
    try:
        yield
    finally:
        stop.set()
        await task


async def test_channels_and_purposes_of_one_account_share_its_rate(database_url: str, tmp_path: Path) -> None:
    carrier = Carrier()
    async with running(carrier.app) as url:
        settings = settings_of(
            database_url, tmp_path, url,
            a={"rate": RATE, "poll": 1}, b={"rate": 10 * RATE, "base_url": f"{url}/"}, c={"api_key": "two"},
        )  # fmt: skip
        for number in range(SENDS):
            to = f"+6149157{number:04d}"
            for name in ("a", "b", "c"):
                await accept(database_url, outgoing(to, channel=name, provider="cellcast", kind="sms"))
        begun = time.monotonic()
        async with sending(settings), sending(settings), asyncio.timeout(PATIENCE):
            while len(carrier.calls["one"]) <= 2 * SENDS or len(carrier.calls["two"]) < SENDS:  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    times = sorted(carrier.calls["one"])
    assert carrier.polls
    # turns are given out by the database's clock; a call may leave after its own, the first one too
    assert (len(times) - 1) / RATE * 0.9 <= times[-1] - begun


def test_an_account_is_an_address_and_a_key_and_neither_is_shown(tmp_path: Path) -> None:
    settings = settings_of(
        "postgresql://127.0.0.1:1/x", tmp_path, "https://a.example.com",
        a={"rate": 20}, b={"base_url": "https://A.example.com/"}, other_key={"api_key": "two"},
        other_host={"base_url": "https://b.example.com"}, keyless={"api_key": ""},
    )  # fmt: skip
    found = pace.accounts(settings, providers_of(settings), secrets.load(settings))

    assert found["a"] == found["b"]
    assert 15.0 == found["a"].rate
    assert 4 == len({account.name for account in found.values()})
    assert "keyless" == found["keyless"].name
    assert not any(word in account.name for account in found.values() for word in ("one", "example"))


async def test_polls_and_questions_take_turns_that_sends_then_wait_for(
    database_url: str, tmp_path: Path
) -> None:
    carrier, outbox = Carrier(), Outbox(database_url, "postback")
    await outbox.open()
    async with running(carrier.app) as url:
        settings = settings_of(database_url, tmp_path, url, a={"rate": SLOW})
        account = pace.accounts(settings, providers_of(settings), secrets.load(settings))["a"]
        provider, channel = providers_of(settings)["cellcast"], settings.channels["a"]
        await accept(database_url, outgoing("+61491570156", channel="a", provider="cellcast", kind="sms"))
        async with PacedClient(settings, account) as client:
            db = await connect(database_url)
            await db.execute(
                "INSERT INTO postback.rate VALUES ($1, clock_timestamp() + interval '100 ms')", account.name
            )
            await db.close()
            for call in (provider.poll(channel, 1), provider.ask("m", "", channel)):
                assert call
                await client.call(call)
            [claim] = await outbox.claim("a", 10, account.rate, account=account.name)
    await outbox.close()

    assert 2 == len(carrier.polls)
    # a call may leave a little after its turn
    assert 0.8 / SLOW <= carrier.polls[1] - carrier.polls[0]
    assert claim.turn_in <= 1 / SLOW


LIMIT = {"error": {"code": "OVER_LIMIT", "description": "Fifteen calls a second"}}
BAD_KEY = {"meta": {"code": 401, "status": "AUTH_FAILED"}, "msg": "No such key", "data": []}


@pytest.mark.parametrize(
    ("refusal", "least", "said"),
    [
        ((429, {"retry-after": "60"}, LIMIT), 50.0, "OVER_LIMIT: Fifteen calls a second"),
        ((401, {}, BAD_KEY), 1.0, "AUTH_FAILED: No such key"),
        ((200, {}, {"error": {"code": "NO_ACCESS", "description": "Ask us"}}), 1.0, "NO_ACCESS: Ask us"),
        ((500, {}, BAD_KEY), 1.0, "AUTH_FAILED: No such key"),
    ],
    ids=["limit", "key", "custom", "under-500"],
)
async def test_a_refused_poll_is_counted_logged_once_and_followed_by_rest(
    database_url: str, tmp_path: Path, refusal: Any, least: float, said: str
) -> None:
    carrier = Carrier()
    carrier.refusal = refusal
    before = POLLS_REFUSED.counts["a",]
    async with running(carrier.app) as url:
        settings = settings_of(database_url, tmp_path, url, a={"poll": 1})
        with structlog.testing.capture_logs() as lines:
            async with sending(settings), asyncio.timeout(PATIENCE):
                db = await connect(database_url)
                rest = "SELECT due - clock_timestamp() FROM postback.rate WHERE channel = 'poll:a'"
                wait = timedelta()
                while wait < timedelta(seconds=least):
                    wait = await db.fetchval(rest) or timedelta()
                    await asyncio.sleep(0.02)
                kept = await db.fetchval("SELECT count(*) FROM postback.payload")
                await db.close()

    assert 0 == kept
    assert len(carrier.polls) == POLLS_REFUSED.counts["a",] - before
    told = [line["reason"] for line in lines if line.get("component") == "poll of a"]
    assert [f"Refused: {said}"] == told


async def test_a_carrier_that_goes_on_refusing_is_asked_ever_more_seldom(
    database_url: str, tmp_path: Path
) -> None:
    carrier = Carrier()
    carrier.refusal = (401, {}, BAD_KEY)
    async with running(carrier.app) as url:
        settings = settings_of(database_url, tmp_path, url, a={"poll": 1})
        async with sending(settings), asyncio.timeout(PATIENCE):
            while len(carrier.lists["sms"]) < 3:  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    first, second, third = carrier.lists["sms"][:3]
    assert 1.8 <= second - first
    assert 3.6 <= third - second
