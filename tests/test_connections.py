"""How long connections to us stay open, how many there may be, and what HTTP/1.0 is answered."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import orjson
import pytest
import pytest_asyncio

from receiver import idle
from receiver.config import Settings
from receiver.protocol import BoundedProtocol
from receiver.serve import config
from simulator.files import PIXEL
from tests.support.beds import Bed
from tests.support.patience import PATIENCE
from tests.support.receiver import CHANNEL, TOKEN, Receiver, copied, running

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOOK = f"/hooks/{CHANNEL}/{TOKEN}"
REPORT = b'{"code": "N102", "tracking-id": "a"}'


class Few(BoundedProtocol):
    most_connections = 4


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def started(bed: Bed, template_url: str) -> AsyncIterator[Receiver]:
    url = await copied(bed, template_url, "connections")
    async with running(url, protocol=Few, keep_alive=2) as receiver:
        yield receiver


@pytest_asyncio.fixture(loop_scope="module")
async def receiver(started: Receiver) -> AsyncIterator[Receiver]:
    yield started
    async with asyncio.timeout(PATIENCE):  # so that the next test begins with no connections
        while started.server.server_state.connections:  # noqa: ASYNC110 - uvicorn tells nobody
            await asyncio.sleep(0.01)


class Connection:
    """A caller's, byte by byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    def ask(self, target: str, *headers: str, method: str = "GET", version: str = "1.1") -> None:
        lines = [f"{method} {target} HTTP/{version}", "host: a", *headers]
        self._writer.write("\r\n".join([*lines, "", ""]).encode())

    async def head(self) -> bytes:
        return await self._reader.readuntil(b"\r\n\r\n")

    async def answered(self) -> int:
        """The status of the next answer, which has a ``content-length``."""
        head = await self.head()
        [length] = [line[16:] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length: ")]
        await self._reader.readexactly(int(length))
        return int(head.split()[1])

    async def rest(self) -> bytes:
        """Everything until the other side closes."""
        return await self._reader.read()

    async def line(self) -> bytes:
        return await self._reader.readline()

    def close(self) -> None:
        self._writer.close()


@asynccontextmanager
async def connected(receiver: Receiver, number: int) -> AsyncIterator[list[Connection]]:
    made = [Connection(*await asyncio.open_connection(*receiver.address)) for _ in range(number)]
    try:
        async with asyncio.timeout(PATIENCE):
            yield made
    finally:
        for connection in made:
            connection.close()


async def test_connections_outlast_those_of_load_balancers() -> None:
    assert 620 == config(None, Settings()).timeout_keep_alive  # type: ignore[arg-type]


async def test_an_idle_connection_stays_open_for_as_long_as_is_configured(receiver: Receiver) -> None:
    loop = asyncio.get_running_loop()
    async with connected(receiver, 1) as [one]:
        one.ask("/healthz")
        await one.answered()
        since = loop.time()
        await asyncio.sleep(0.5)
        one.ask("/healthz")
        again, since = await one.answered(), loop.time()
        rest, waited = await one.rest(), loop.time() - since

    assert (200, b"") == (again, rest)
    assert waited > 1.9


async def test_where_there_are_too_many_connections_the_one_that_was_idle_longest_is_closed(
    receiver: Receiver,
) -> None:
    async with connected(receiver, 4) as [listener, *idle_ones]:
        listener.ask("/v1/events/stream", f"authorization: Bearer {receiver.key}")
        await listener.head()
        for one in idle_ones:
            one.ask("/healthz")
            await one.answered()
        idle_ones[0].ask("/healthz")  # so the second is the one that has been idle longest
        await idle_ones[0].answered()
        async with connected(receiver, 1) as [fifth]:
            fifth.ask("/healthz")
            assert 200 == await fifth.answered()
            assert b"" == await idle_ones[1].rest()
            for one in (idle_ones[0], idle_ones[2]):
                one.ask("/healthz")
                assert 200 == await one.answered()


async def test_where_nobody_is_idle_nobody_is_closed(receiver: Receiver) -> None:
    async with connected(receiver, 5) as listeners:
        for one in listeners:
            one.ask("/v1/events/stream", f"authorization: Bearer {receiver.key}")
            assert b" 200 " in await one.head()


async def test_a_connection_that_ends_is_no_longer_idle(receiver: Receiver) -> None:
    known = idle.of(receiver.server.server_state)
    async with connected(receiver, 3) as made:
        for one in made:
            one.ask("/healthz")
            await one.answered()
        assert 3 == len(known)
    async with asyncio.timeout(PATIENCE):
        while len(known):  # noqa: ASYNC110 - uvicorn tells nobody
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("connection", ["keep-alive", "close"])
async def test_a_listener_who_speaks_http_1_0_gets_lines_and_no_chunks(
    receiver: Receiver, connection: str
) -> None:
    answer = await receiver.client.post(receiver.url + HOOK, content=REPORT)
    assert 200 == answer.status_code
    async with connected(receiver, 1) as [listener]:
        authorization = f"authorization: Bearer {receiver.key}"
        listener.ask("/v1/events/stream", authorization, f"connection: {connection}", version="1.0")
        head = (await listener.head()).lower()
        lines: list[bytes] = []
        while not lines or not lines[-1].startswith(b"data: "):
            lines.append(await listener.line())

    assert b"transfer-encoding" not in head
    assert [b"connection: close"] == [line for line in head.split(b"\r\n") if line.startswith(b"connection")]
    assert {b"", b":", b"retry:", b"id:", b"data:"} == {line.split(b" ")[0].strip() for line in lines}
    assert "message.delivered" == orjson.loads(lines[-1].removeprefix(b"data: "))["type"]


async def test_every_answer_to_http_1_0_ends_with_its_connection_and_has_no_chunks(
    receiver: Receiver,
) -> None:
    headers = {"authorization": f"Bearer {receiver.key}"}
    stored = await receiver.client.post(
        f"{receiver.url}/v1/media", content=PIXEL, headers={**headers, "content-type": "image/png"}
    )
    described = (await receiver.client.get(f"{receiver.url}/openapi.json")).json()
    targets = [path for path, ways in described["paths"].items() if "get" in ways and "{" not in path]
    targets.remove("/v1/events/stream")  # which does not end: see above
    file = stored.json()["url"].removeprefix(receiver.url)
    targets += [
        file,
        HOOK,
        "/docs",
        "/metrics",
        "/openapi.json",
        "/nowhere",
        "/v1/messages?limit=none",
        "/v1/events?wait=1&after=now",
    ]

    answers = {}
    for target in dict.fromkeys(targets):
        async with connected(receiver, 1) as [one]:
            one.ask(target, f"authorization: Bearer {receiver.key}", version="1.0")
            answers[target] = (await one.head()).lower(), await one.rest()

    assert PIXEL == answers[file][1]
    assert [] == [target for target, (head, _) in answers.items() if b"transfer-encoding" in head]
    assert [] == [target for target, (head, _) in answers.items() if b"\r\nconnection: close\r\n" not in head]
    assert [] == [
        target
        for target, (head, body) in answers.items()
        if b"content-length" in head and b"content-length: %d\r\n" % len(body) not in head
    ]
