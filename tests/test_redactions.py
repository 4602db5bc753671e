"""What is redacted or erased leaves no process any more, whatever it had in hand; none writes it down."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from postback import practice
from receiver.config import settings
from tests.support import commands
from tests.support.app import Heard
from tests.support.carrier import CONTROL, running_simulator
from tests.support.installation import CHANNEL, TOKEN, US, channel_keys
from tests.support.store import arrival, long_winded, postback, store
from tests.support.taps import Ear, Manner, Tap, ear, tapped
from tests.support.traces import everything, holds

THEM, OTHER = "+12065550123", "+12065550124"
WORDS = "the cat is under the red flowerpot"
#: events before those that matter, and bytes of each: a listener that does not read has them all before it,
#: as one piece of the feed, and kernels keep less for a connection
MANY, LONG = 400, 15_000
PATIENCE = 60.0


@dataclass
class House:
    """All processes of ours, each a real one, and everybody whom they talk to."""

    database_url: str
    data_dir: Path
    cwd: Path
    environment: dict[str, str]
    key: str
    url: str
    api: httpx.AsyncClient
    db: asyncpg.Connection
    taps: dict[Manner, Tap]
    ears: list[Ear]
    last: str
    subscribers: dict[str, dict[str, Any]] = field(default_factory=dict)

    async def call(self, method: str, path: str, **body: Any) -> Any:
        answer = await self.api.request(method, path, json=body or None)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    async def hears(self, tracking_id: str, **fields: Any) -> None:
        body = {
            "code": "N401", "origin": "MMS_MO", "from": THEM, "to": US, "tracking-id": tracking_id, **fields,
        }  # fmt: skip
        answer = await self.api.post(f"/hooks/{CHANNEL}/{TOKEN}", json=body)
        assert 200 == answer.status_code, answer.text

    async def traces(self, found: Callable[[bytes], bool]) -> list[str]:
        """Tables and files in which something is *found*."""
        places = await everything(self.database_url, self.data_dir)
        return sorted({re.sub(r"_p_.*| .*", "", place) for place, data in places.items() if found(data)})

    async def deliveries(self, manner: Manner) -> list[asyncpg.Record]:
        query = "SELECT * FROM postback.delivery WHERE subscriber_id = $1 ORDER BY seq"
        rows: list[asyncpg.Record] = await self.db.fetch(query, self.subscribers[manner]["id"])
        return rows


async def until(true: Callable[[], Awaitable[bool] | bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            found = true()
            if found if isinstance(found, bool) else await found:
                return
            await asyncio.sleep(0.02)


@pytest.fixture
async def house(database_url: str, tmp_path: Path) -> AsyncIterator[House]:
    """With a long feed, listeners at its end, and a subscriber that refuses, one that takes what it is told,
    and one that does not answer."""
    data_dir = tmp_path / "data"
    environment = {
        "DATABASE_URL": database_url,
        "POSTBACK_SECRET_KEY": "a secret key for tests",
        "POSTBACK_DATA_DIR": str(data_dir),
        "POSTBACK_PRIVATE_NETWORKS": '["127.0.0.0/8"]',
    }
    async with AsyncExitStack() as stack:
        carrier_url = await stack.enter_async_context(running_simulator([]))
        keys = channel_keys("sinch_mms", carrier_url)
        (tmp_path / "postback.toml").write_text(
            f"[channels.{CHANNEL}]\n" + "".join(f"{name} = {json.dumps(keys[name])}\n" for name in keys)
        )

        def start(*command: str) -> commands.Started:
            return stack.enter_context(commands.postback(*command, cwd=tmp_path, **environment))

        serve, forward, send = (
            start("serve", "--port", "0", "--workers", "2"),
            start("forward"),
            start("send"),
        )
        url = await asyncio.to_thread(serve.ready)
        await asyncio.to_thread(forward.says, "forwarding")
        await asyncio.to_thread(send.says, "sending")
        _, key, _ = await asyncio.to_thread(
            lambda: commands.run(
                "keys", "create", "--name", "t", "--scope", "read,send,admin", cwd=tmp_path, **environment
            )
        )
        await open_account(database_url, carrier_url, keys, url)
        db = await asyncpg.connect(database_url)
        stack.push_async_callback(db.close)
        headers = {"authorization": f"Bearer {key.strip()}"}
        api = await stack.enter_async_context(httpx.AsyncClient(base_url=url, headers=headers, timeout=30))
        for begin in range(0, MANY, 100):
            ids = [f"long {n}" for n in range(begin, begin + 100)]
            await store(db, [long_winded(f"{THEM} {'.' * LONG}", *ids)])
        manners: tuple[Manner, ...] = ("refuses", "takes", "hangs")
        taps = {manner: await stack.enter_async_context(tapped(manner)) for manner in manners}
        last = (await api.get("/v1/events", params={"after": "now"})).json()["next_cursor"]
        # the kernel spreads connections over the workers
        ears = [await stack.enter_async_context(ear(url, key.strip(), last)) for _ in range(4)]
        made = House(
            database_url, data_dir, tmp_path, environment, key.strip(), url, api, db, taps, ears, last
        )
        for manner, tap in made.taps.items():
            made.subscribers[manner] = await made.call("POST", "/v1/subscribers", url=tap.url)
        yield made


async def open_account(database_url: str, carrier_url: str, keys: dict[str, Any], url: str) -> None:
    configured = settings({"database_url": database_url, "secret_key": "-" * 16, "channels": {CHANNEL: keys}})
    [account] = practice.accounts(configured, url, carrier_url)
    async with httpx.AsyncClient(base_url=carrier_url, headers=CONTROL) as carrier:
        answer = await carrier.post("/practice/accounts", json=account.model_dump())
        assert answer.is_success, answer.text


async def told(house: House) -> list[dict[str, Any]]:
    """Events that are told of a message that came and one that went, both of `WORDS`, and one that only its
    carrier knows."""
    await house.hears("came", **{"message-subject": WORDS})
    [went] = (await house.call("POST", "/v1/messages", to=THEM, text=WORDS))["data"]

    async def delivered() -> bool:
        message = await house.call("GET", f"/v1/messages/{went['id']}")
        return bool("delivered" == message["status"])

    await until(delivered)
    await store(house.db, [arrival(postback("N101", "theirs", statusdetails=WORDS))])
    found: list[dict[str, Any]] = (await house.call("GET", f"/v1/events?after={house.last}"))["data"]
    return found


async def in_hand(house: House, events: int) -> None:
    """Waits until everybody has in hand what they can have of so many *events*, and it is written down."""
    await until(lambda: len(house.taps["takes"].posts) >= events)
    await until(lambda: bool(house.taps["hangs"].posts))

    async def written() -> bool:
        rows = await house.deliveries("refuses")
        return len(rows) >= events and bool(json.loads(rows[0]["attempts"]))

    await until(written)
    for listener in house.ears:
        await listener.listen(until=b'"message.sent"')


async def told_again(house: House) -> str:
    """Has everything told once more, and one message that is nobody's business; the id of that one."""
    house.taps["refuses"].manner = "takes"
    for row in await house.deliveries("refuses"):
        await house.call("POST", f"/v1/deliveries/{row['id']}/retry")
    await house.call("POST", f"/v1/subscribers/{house.subscribers['takes']['id']}/replay", after=house.last)
    await house.hears("the end", **{"from": OTHER, "message-subject": "that is all"})
    [last] = (await house.call("GET", f"/v1/messages?limit=1&contact=%2B{OTHER[1:]}"))["data"]
    return str(last["id"])


async def mark(house: House) -> None:
    """What leaves from now on is what is looked at."""
    for listener in house.ears:
        await listener.forget()
    for tap in house.taps.values():
        tap.mark()


def came(tap: Tap, events: int, end: str) -> bool:
    ids = {heard.id for heard in tap.later}
    return len(ids) > events and end in {heard.event["message_id"] for heard in tap.later}


async def later(house: House, events: int, end: str) -> list[Heard]:
    """All posts since the mark, once *events* and that of the message *end* came to everybody."""
    for manner, tap in house.taps.items():
        # what was broken off may have come again before the mark
        await until(partial(came, tap, 0 if manner == "hangs" else events, end))
    for listener in house.ears:
        await listener.listen(until=end.encode())
    async with AsyncExitStack() as stack:
        for _ in range(4):
            one = await stack.enter_async_context(ear(house.url, house.key, house.last))
            await one.listen(until=end.encode())
            house.ears.append(one)
    return [heard for tap in house.taps.values() for heard in tap.later]


def left(house: House) -> bytes:
    """Every byte that left since the mark."""
    return b"\n".join([*(tap.later_bytes for tap in house.taps.values()), *(e.heard for e in house.ears)])


def has_words(data: bytes) -> bool:
    return WORDS.encode() in data


async def test_what_is_redacted_is_told_by_nobody_any_more(house: House) -> None:
    events = await told(house)
    await in_hand(house, len(events))
    async with ear(house.url, house.key) as slow:
        await slow.listen(until=b"data:")
        assert {"delivery", "message_body"} <= set(await house.traces(has_words))
        assert all(has_words(tap.posts[0].body) for tap in house.taps.values())
        house.taps["hangs"].manner = "takes"

        for message_id in {event["message_id"] for event in events}:
            await house.call("POST", f"/v1/messages/{message_id}/redact")
        await mark(house)
        slow.heard.clear()
        end = await told_again(house)
        posts = await later(house, len(events), end)
        await slow.listen(until=end.encode())

    assert not has_words(left(house) + slow.heard)
    assert not holds(left(house))
    assert [] == await house.traces(has_words)
    assert "delivery" not in await house.traces(holds)
    ids = {event["id"] for event in events}
    assert ids < {heard.id for heard in posts}
    for heard in house.taps["refuses"].later:
        heard.verify(house.subscribers["refuses"]["secret"])
        if heard.id in ids:
            message = heard.content["data"]["message"]
            assert {"+1206555XXXX", US} == {message["from"], message["to"]}
            assert (None, None) == (message["text"], message["subject"])


async def test_who_is_erased_is_told_of_by_nobody_any_more(house: House) -> None:
    await house.hears("others", **{"from": OTHER, "message-subject": "Ask (206) 555-0123"})
    await told(house)
    await house.hears("stop", **{"message-subject": "STOP"})
    events = (await house.call("GET", f"/v1/events?after={house.last}"))["data"]
    await in_hand(house, len(events))
    assert {"delivery", "message", "event", "opt_out"} <= set(await house.traces(holds))
    house.taps["hangs"].manner = "takes"

    code, _, said = await asyncio.to_thread(
        lambda: commands.run("erase", THEM, "--yes", cwd=house.cwd, **house.environment)
    )
    assert 0 == code, said
    await mark(house)
    end = await told_again(house)
    posts = await later(house, len(events), end)

    assert not holds(left(house))
    assert [] == await house.traces(holds)
    assert {event["id"] for event in events} < {heard.id for heard in posts}
    contacts = {h.event["contact"] for h in posts if h.content["type"] == "contact.opted_out"}
    assert {"+1206555XXXX"} == contacts
