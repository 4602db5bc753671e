"""Answers whose bodies break off, hang or never end: the status line has decided before that."""

import asyncio
from ipaddress import ip_network

import pytest

from models.sends import Answer, Call, Fate
from receiver.http import AnswerLost, Client, Poster, calls, posts
from receiver.providers import PROVIDERS
from tests.support.patience import PATIENCE
from tests.support.sockets import OK, serving

LOOPBACK = [ip_network("127.0.0.0/8")]
#: after a status line
BODIES = {
    "hangs": b"content-length: 500\r\n\r\n{",
    "never begins": b"transfer-encoding: chunked\r\n\r\n",
    "makes no sense": b"transfer-encoding: chunked\r\n\r\nno length\r\n",
    "is compressed and is not": b"content-encoding: gzip\r\ncontent-length: 3\r\n\r\nabc",
    "is too long": b"content-length: 2000000\r\n\r\n" + bytes(2_000_000),
}


def answering(status: int, body: str) -> bytes:
    return b"HTTP/1.1 %d Said\r\nretry-after: 7\r\n" % status + BODIES[body]


async def call(port: int) -> Answer:
    async with Client() as client:
        return await client.call(Call("POST", f"http://127.0.0.1:{port}/", {}, b"{}"))


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("status", [200, 204, 299, 400, 410, 429, 500, 503])
async def test_a_post_is_judged_by_its_status(
    monkeypatch: pytest.MonkeyPatch, status: int, body: str
) -> None:
    monkeypatch.setattr(posts, "ANSWER_PATIENCE", 0.1)
    async with serving(answer=answering(status, body)) as server, Poster(LOOPBACK) as poster:
        posted = await poster.post(f"http://127.0.0.1:{server.port}/", {}, b"{}", 10)

    assert (status, 7.0) == (posted.status, posted.retry_after)
    assert len(posted.body) <= posts.MOST_OF_ANSWER


async def test_a_connection_with_a_body_that_hangs_is_not_used_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(posts, "ANSWER_PATIENCE", 0.1)
    async with serving(answer=answering(200, "hangs")) as server, Poster(LOOPBACK) as poster:
        url = f"http://127.0.0.1:{server.port}/"
        await poster.post(url, {}, b"{}", 10)
        server.answer = OK
        statuses = [(await poster.post(url, {}, b"{}", 10)).body for _ in range(2)]

    assert ([b"ok", b"ok"], 2) == (statuses, len(server.heard))


async def test_the_body_gets_little_time_whatever_the_deadline() -> None:
    async with serving(answer=answering(200, "hangs")) as server, Poster(LOOPBACK) as poster:
        async with asyncio.timeout(PATIENCE):
            posted = await poster.post(f"http://127.0.0.1:{server.port}/", {}, b"{}", 3600)

    assert (200, b"{") == (posted.status, posted.body)


@pytest.mark.parametrize("body", BODIES)
async def test_of_a_call_that_was_taken_nobody_knows_what_was_said(
    monkeypatch: pytest.MonkeyPatch, body: str
) -> None:
    monkeypatch.setattr(calls, "CALL_DEADLINE", 1.0)
    async with serving(answer=answering(201, body)) as server:
        with pytest.raises(AnswerLost):
            await call(server.port)


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize(
    ("status", "fate"),
    [
        (400, Fate.REFUSED),
        (403, Fate.REFUSED),
        (404, Fate.REFUSED),
        (429, Fate.THROTTLED),
        (503, Fate.THROTTLED),
        (502, Fate.UNDECIDED),
    ],
)
async def test_a_call_that_was_not_taken_is_judged_by_its_status(
    monkeypatch: pytest.MonkeyPatch, status: int, fate: Fate, body: str
) -> None:
    monkeypatch.setattr(calls, "CALL_DEADLINE", 1.0)
    async with serving(answer=answering(status, body)) as server:
        answer = await call(server.port)

    assert (status, b"") == (answer.status, answer.body)
    assert {fate} == {provider.outcome(answer).fate for provider in PROVIDERS.values()}


@pytest.mark.parametrize("status", [200, 400])
async def test_a_status_that_does_not_come_in_time_leaves_a_call_open(
    monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setattr(calls, "CALL_DEADLINE", 0.3)
    async with serving(answer=b"HTTP/1.1 %d Sa" % status) as server:
        with pytest.raises(AnswerLost):
            await call(server.port)
