"""The example app: a conversation while everything is killed, the demonstration, the app in the README."""

import asyncio
import re
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, closing
from pathlib import Path

import asyncpg
import httpx
import pytest

from examples.autoresponder import GREETING, HANDOVER, OPENING, SCHEMA, Responder
from examples.conversation import RESPONDER
from receiver.read.ids import cursor_of_sequence
from tests.support.bakery import Bakery
from tests.support.commands import Started, environment, started
from tests.support.installation import CHANNEL, THEM, US, Installation, installation
from tests.support.processes import ROOT, eventually
from tests.support.sockets import serving

ANN, BOB = "+12065550123", "+12065550199"


@pytest.fixture
def bakery(tmp_path: Path) -> Iterator[Bakery]:
    with ExitStack() as stack:
        yield Bakery(tmp_path, stack)


def no_order(number: int) -> str:
    return f"We know of no order {number}. AGENT brings you a person."


def called(bakery: Bakery, number: int) -> None:
    """Returns when the carrier has been asked to send the answer to an order and has yet to answer us."""
    bakery.orders(to=ANN, slow=3, next=1)
    bakery.hears(ANN, f"ORDER {number}")
    bakery.eventually_sent(ANN, no_order(number))


def test_a_conversation_is_complete_and_in_order_whoever_is_killed_in_the_middle_of_it(
    bakery: Bakery,
) -> None:
    """Every callback comes several times, every report early and the last one first. Ann talks on; Bob says
    STOP while an answer to him waits."""
    bakery.hears(ANN, "Hi")
    bakery.says(ANN, GREETING)
    bakery.hears(BOB, "Hi")
    bakery.says(BOB, GREETING)
    bakery.orders(to=BOB, answer="throttled")
    bakery.hears(BOB, "HOURS")
    bakery.eventually_sent(BOB, OPENING)
    bakery.hears(BOB, "STOP")
    until_stop = bakery.sent(BOB)
    bakery.no_more_orders()

    with bakery.responder_commits_nothing():  # its reply is asked for, and that it was is not kept
        bakery.hears(ANN, "ORDER 1")
        bakery.says(ANN, no_order(1))
        bakery.kill("responder")
    bakery.hears(ANN, "ORDER 2")
    bakery.start("responder")
    bakery.says(ANN, no_order(2))

    called(bakery, 3)
    bakery.kill("send")
    bakery.says(ANN, no_order(3))

    called(bakery, 4)
    bakery.kill("postmaster")
    bakery.hears(ANN, "ORDER 5")
    bakery.says(ANN, no_order(4))
    bakery.says(ANN, no_order(5))

    bakery.hears(ANN, "ORDER 6")
    bakery.kill("serve")
    bakery.hears(ANN, "ORDER 7")
    bakery.says(ANN, no_order(6))
    bakery.says(ANN, no_order(7))

    bakery.hears(ANN, "ORDER 8")
    bakery.kill("forward")
    bakery.says(ANN, no_order(8))

    called(bakery, 9)
    bakery.says(ANN, no_order(9))  # it has reported already, and will never answer
    bakery.journal()
    bakery.kill("carrier")
    bakery.start("carrier")

    called(bakery, 10)
    bakery.kill("up")  # and everything that is under it
    bakery.start("up")
    bakery.says(ANN, no_order(10))

    bakery.hears(ANN, "AGENT")
    bakery.says(ANN, HANDOVER)
    bakery.hears(ANN, "Anybody?")
    bakery.kill("responder")
    bakery.start("responder")
    bakery.writes(ANN, "Kim here", metadata={"case": "closed"})
    bakery.hears(ANN, "HOURS")
    bakery.says(ANN, OPENING)
    bakery.hears(BOB, "HOURS")
    bakery.hears(ANN, "ORDER 11", account="bakery-mms")  # its words are a file that has to be fetched
    bakery.says(ANN, no_order(11))  # so what came before it, Bob's message too, has been dealt with
    refused = bakery.writes(BOB, "Are you still there?")

    orders = [(f"ORDER {number}", no_order(number)) for number in range(1, 12)]
    asked = ["Hi", *(order for order, _ in orders[:10]), "AGENT", "Anybody?", "HOURS", "ORDER 11"]
    replies = [GREETING, *(reply for _, reply in orders[:10]), HANDOVER, "Kim here", OPENING, no_order(11)]
    ann, bob = bakery.transcript(ANN), bakery.transcript(BOB)
    heard = [message["text"] for message in ann if message["direction"] == "inbound"]
    said = [message["text"] for message in ann if message["direction"] == "outbound"]
    assert asked == heard
    assert Counter(replies) == Counter(said)
    assert Counter(replies) == Counter(bakery.sent(ANN))
    places = [message["text"] for message in ann]
    assert [] == [order for order, reply in orders if places.index(order) > places.index(reply)]
    assert {"delivered"} == {message["status"] for message in ann if message["direction"] == "outbound"}

    assert ["Hi", GREETING, "HOURS", OPENING, "STOP", "HOURS", "Are you still there?"] == [
        message["text"] for message in bob
    ]
    assert ("rejected", "opted_out") == (refused["status"], refused["error"]["class"])
    assert ("rejected", "opted_out") == (bob[3]["status"], bob[3]["error"]["class"])
    assert until_stop == bakery.sent(BOB)


def test_the_demonstration_prints_the_whole_conversation() -> None:
    """As `make example` runs it."""
    ended = subprocess.run(
        [sys.executable, "examples/conversation.py"], cwd=ROOT, env=environment(), text=True,
        capture_output=True, timeout=600, check=False,
    )  # fmt: skip

    assert (0, "") == (ended.returncode, ended.stderr)
    lines = [re.sub(r"^  \d\d:\d\d:\d\d  ", "", line) for line in ended.stdout.splitlines()[1:]]
    assert [
        "customer  Hi!",
        f"bakery    {GREETING}  (delivered)",
        "customer  hours",
        f"bakery    {OPENING}  (delivered)",
        "customer  Order 1042",
        "bakery    Order 1042 is in the oven.  (delivered)",
        "customer  I ordered two of these, and only one came",
        f"bakery    {HANDOVER}  (delivered)",
        "customer  Is anybody there?",
        "bakery    This is Kim. I put the other one into the oven for you.  (delivered)",
        "customer  That is kind of you",
        "bakery    It is ready at five. Until then!  (delivered)",
        "customer  HOURS",
        f"bakery    {OPENING}  (delivered)",
        "customer  STOP",
        "customer  Order 1043",
        "bakery    Your order is ready.  (rejected, opted_out)",
    ] == lines


async def test_who_waits_when_events_are_gone_is_handed_to_a_person(
    database_url: str, tmp_path: Path
) -> None:
    """The app's place lies beyond the feed's end, as after the restore of an older database."""
    with closing(sqlite3.connect(tmp_path / "responder.db")) as db:
        db.executescript(SCHEMA)
        db.execute("INSERT INTO place VALUES (1, ?)", (cursor_of_sequence(99),))
        db.commit()
    async with installation(database_url, "sinch_sms") as installed:
        await inbound(installed, "Hi")
        [message] = await installed.listed(1)
        with app(installed, tmp_path, str(RESPONDER), "responder.db") as responder:
            said = f"for a person: conversation {message['conversation_id']}"
            assert said == await asyncio.to_thread(responder.says, "for a person")
            await inbound(installed, "HOURS")
            await asyncio.sleep(1)
            messages = await installed.listed(2)

    assert ["HOURS", "Hi"] == [message["text"] for message in messages]


async def test_the_lines_of_the_readme_answer_and_survive_their_end(
    database_url: str, tmp_path: Path
) -> None:
    code = two_way(tmp_path)
    async with installation(database_url) as installed:
        with app(installed, tmp_path, "two_way.py"):
            assert await asyncio.to_thread(eventually, (tmp_path / "place").exists)
            await inbound(installed, subject="hours")
            await installed.listed(2)
        await inbound(installed, subject="Something else")
        with app(installed, tmp_path, "two_way.py"):
            await installed.listed(4)
            await inbound(installed, subject="STOP")
            rejected, *messages = await installed.listed(6)

    assert [
        "Thank you. A person will answer you.",
        "Something else",
        "We are open from 7 to 18.",
        "hours",
    ] == [message["text"] or message["subject"] for message in messages[1:]]
    assert ("rejected", "opted_out") == (rejected["status"], rejected["error"]["class"])
    assert 25 >= len([line for line in code.splitlines()[1:] if line])


async def test_the_app_of_the_readme_goes_on_after_what_it_cannot_answer(
    database_url: str, tmp_path: Path, db: asyncpg.Connection
) -> None:
    """A name, a short code, and a message that was erased before the app came to it; then a person, twice."""
    two_way(tmp_path)
    async with installation(database_url) as installed:
        start = (await installed.api.get("/v1/events", params={"after": "now"})).json()["next_cursor"]
        (tmp_path / "place").write_text(start)
        await inbound(installed, subject="erased", **{"from": "+12065550177"})
        for sender in ("MTN", "24273"):
            await inbound(installed, subject="Hours", **{"from": sender})
        await inbound(installed, subject="Hours")
        await installed.listed(4)
        await db.execute("DELETE FROM postback.message WHERE contact = '+12065550177'")
        with app(installed, tmp_path, "two_way.py"):
            await installed.listed(4)
        await inbound(installed, subject="Where", **{"from": "24273"})
        with app(installed, tmp_path, "two_way.py"):
            await inbound(installed, subject="Where")
            said = await installed.listed(7)

    assert ["We are open from 7 to 18.", "12 Harbour Street, opposite the pier."] == [
        message["text"] for message in reversed(said) if message["direction"] == "outbound"
    ]
    assert {THEM} == {message["to"] for message in said if message["direction"] == "outbound"}


async def test_the_example_hands_over_whom_it_cannot_answer_and_goes_on(
    database_url: str, tmp_path: Path
) -> None:
    async with installation(database_url, "sinch_sms") as installed:
        with app(installed, tmp_path, str(RESPONDER), "responder.db") as responder:
            assert "listening" == await asyncio.to_thread(responder.says, "listening")
            for sender in ("MTN", "24273"):
                await inbound(installed, "HOURS", **{"from": sender})
                assert await asyncio.to_thread(responder.says, "for a person")
            await inbound(installed, "HOURS")
            said, *_ = await installed.listed(4)

    assert (f"{GREETING} {OPENING}", THEM) == (said["text"], said["to"])


def two_way(directory: Path) -> str:
    """Writes the README's app into *directory*; answers with it."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    code: str
    [code] = re.findall(r"^```python\n(# two_way.py\n.*?)^```", readme, re.MULTILINE | re.DOTALL)
    (directory / "two_way.py").write_text(code, encoding="utf-8")
    return code


async def inbound(installed: Installation, text: str | None = None, **fields: str) -> None:
    said = {"from": THEM, "to": US, "account": CHANNEL, "text": text, **fields}
    answer = await installed.carrier.post("/practice/inbound", json=said)
    assert answer.is_success, answer.text


def app(installed: Installation, directory: Path, *arguments: str) -> AbstractContextManager[Started]:
    """Python with *arguments*, killed when it is no longer needed."""
    key = installed.api.headers["authorization"].removeprefix("Bearer ")
    env = environment(API=f"{str(installed.api.base_url).rstrip('/')}/v1", KEY=key)
    return started([sys.executable, *arguments], cwd=directory, env=env)


async def test_the_responder_outlives_a_proxy_that_says_when_to_come_again_by_a_date() -> None:
    busy = b"HTTP/1.1 503 Busy\r\nretry-after: %s\r\ncontent-length: 0\r\n\r\n"
    async with serving(answer=b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}") as proxy:
        proxy.turns += [busy % b"Sat, 21 Nov 2026 12:00:00 GMT", busy % b"soon", busy % b"0"]
        with (
            closing(sqlite3.connect(":memory:", check_same_thread=False)) as db,
            httpx.Client(base_url=f"http://127.0.0.1:{proxy.port}") as api,
        ):
            found = await asyncio.to_thread(Responder(api, db).call, "GET", "/events")

    assert ({}, 4) == (found, len(proxy.at))
