"""The carriers' door: what is stored, what is refused, and that nothing an authentic caller sends is lost."""

import asyncio
import gzip
import json
import random
import zlib
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
import pytest_asyncio

from models.events import Event, Request
from receiver.config import ChannelSettings
from receiver.protocol import BoundedProtocol
from receiver.providers import PROVIDERS
from receiver.providers.shape import MOST_EVENTS
from receiver.providers.sinch_mms import SinchMms
from tests.support.beds import Bed
from tests.support.receiver import CHANNEL, CHANNELS, TOKEN, Receiver, copied, running
from tests.support.store import postback

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.stock]

DELIVERED = orjson.dumps(postback("N102", "MMSMT7Qx2LmZp"))
MIB = 1 << 20
OPEN = {"provider": "sinch_mms", "tokens": [TOKEN]}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def started(bed: Bed, template_url: str) -> AsyncIterator[Receiver]:
    url = await copied(bed, template_url, "webhooks")
    async with running(url) as receiver:
        yield receiver


@pytest_asyncio.fixture(loop_scope="module")
async def receiver(started: Receiver) -> Receiver:
    await started.empty()
    return started


@pytest.fixture
def database_url(receiver: Receiver) -> str:
    """For receivers that are set up in another way."""
    return receiver.settings.database_url


def report(**fields: Any) -> bytes:
    """A report with these fields in place of its own; carriers escape what we would not."""
    return json.dumps({**postback("N102", "MMSMT7Qx2LmZp"), **fields}).encode()


# --- stored -------------------------------------------------------------------------------------------------


async def test_a_report_is_stored_with_its_timeline_when_it_is_answered(receiver: Receiver) -> None:
    answer = await receiver.client.post(receiver.hook(), content=DELIVERED)

    assert (200, {"status": "ok"}) == (answer.status_code, answer.json())
    [payload] = await receiver.payloads()
    [message] = await receiver.rows("SELECT id FROM postback.message")
    assert ("applied", None, "POST", DELIVERED, "127.0.0.1", [message["id"]]) == (
        payload["state"],
        payload["reason"],
        payload["method"],
        payload["body"],
        payload["peer"],
        payload["message_ids"],
    )


NOT_UNDERSTOOD = {
    "no text at all": bytes(range(256)),
    "half of an object": b'{"code": "N102", "tracking-id": "a',
    "a form": b"code=N102&tracking-id=a",
    "xml": b"<postback><code>N102</code></postback>",
    "no object": b'"N102"',
    "nothing": b"null",
    "an empty array": b"[]",
    "no id": b'{"code": "N102"}',
    "an id that no index holds": report(**{"tracking-id": "x" * 256}),
    "an id that is an object": b'{"code": "N102", "tracking-id": {"id": 7}}',
    "nesting without end": b"[" * MIB,
    "objects without end": b'{"a":' * (MIB // 5),
    "a MiB of one letter": b"a" * MIB,
    "more events than one transaction can take": orjson.dumps(
        [{"code": "N101", "tracking-id": str(number)} for number in range(MOST_EVENTS + 1)]
    ),
}


async def test_what_is_not_understood_is_kept_as_it_came_and_acknowledged(receiver: Receiver) -> None:
    answers = {
        name: (await receiver.client.post(receiver.hook(), content=body)).status_code
        for name, body in NOT_UNDERSTOOD.items()
    }

    assert dict.fromkeys(NOT_UNDERSTOOD, 200) == answers
    kept = await receiver.payloads()
    assert list(NOT_UNDERSTOOD.values()) == [payload["body"] for payload in kept]
    assert {"quarantined"} == {payload["state"] for payload in kept}
    assert all(payload["reason"] for payload in kept)
    assert [] == await receiver.rows("SELECT id FROM postback.message")


UNDERSTOOD = {
    "a code that nobody knows": report(code="N777"),
    "codes of the wrong type": report(code=["N102"], status={"a": 1}),
    "an id as a number that no integer holds": b'{"code": "N102", "tracking-id": 1' + b"0" * 200 + b"}",
    "numbers that no float holds": report(status="x").replace(b'"x"', b"1e999999, " + b'"y": -1e999999'),
    "an integer of a thousand digits": report(status="x").replace(b'"x"', b"9" * 1000),
    "NUL in every text": report(**dict.fromkeys(postback("", "", **{"client-reference": ""}), "a\0b")),
    "lone surrogates": report(**dict.fromkeys(("status", "from", "client-reference"), "\ud800 \udfff")),
    "a number that fits no index": report(
        **{"tracking-id": "far"},
        to=random.Random(1).randbytes(50_000).hex(),  # noqa: S311 - not to be packed small
    ),
    "an id as long as can be": report(**{"tracking-id": "x" * 255, "client-reference": "y" * 255}),
    "times that are none": report(timestamp="0000-99-99T99:99"),
    "the first moment of all": report(timestamp="0001-01-01T00:00:00+23:59"),
    "the last moment of all": report(timestamp="9999-12-31T23:59:59.999999-23:59"),
    "a description of almost a MiB": report(**{"status-details": "é" * 150_000}),
    "a byte that is no UTF-8": report(status="caf?").replace(b"?", b"\xe9"),
}


async def test_odd_fields_cost_neither_the_report_nor_a_byte_of_the_body(receiver: Receiver) -> None:
    answers = {
        name: (await receiver.client.post(receiver.hook(), content=body)).status_code
        for name, body in UNDERSTOOD.items()
    }

    assert dict.fromkeys(UNDERSTOOD, 200) == answers
    kept = await receiver.payloads()
    assert list(UNDERSTOOD.values()) == [payload["body"] for payload in kept]
    assert {"applied"} == {payload["state"] for payload in kept}


async def test_parameters_of_a_get_are_kept_though_the_provider_reads_none(receiver: Receiver) -> None:
    answer = await receiver.client.get(f"{receiver.hook()}?status=DELIVRD&text=a%20b%00&text=%FF")

    assert 200 == answer.status_code
    [payload] = await receiver.payloads()
    assert ("GET", "status=DELIVRD&text=a%20b%00&text=%FF", b"", "quarantined") == (
        payload["method"],
        payload["query"],
        payload["body"],
        payload["state"],
    )


class Failing(SinchMms):
    """A provider with a fault of ours in it."""

    name = "failing"

    def parse(self, request: Request, channel: ChannelSettings) -> list[Event]:
        raise KeyError("the text of a message")

    def authenticate(self, request: Request, channel: ChannelSettings) -> bool:
        return request.headers["x-signature"] == "good"


async def test_a_fault_of_the_parser_costs_nothing_and_quotes_nobody(
    database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(PROVIDERS, "failing", Failing())
    async with running(database_url, {"failing": {**OPEN, "provider": "failing"}}) as receiver:
        headers = {"x-signature": "good"}
        answer = await receiver.client.post(receiver.hook("failing"), content=DELIVERED, headers=headers)

        assert 200 == answer.status_code
        [payload] = await receiver.payloads()
        assert ("quarantined", "the parser failed: KeyError", DELIVERED) == (
            payload["state"],
            payload["reason"],
            payload["body"],
        )
    logged = capsys.readouterr().out
    assert "parser failed" in logged
    assert "the text of a message" not in logged


async def test_a_signature_that_the_provider_cannot_even_look_for_is_a_bad_one(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PROVIDERS, "failing", Failing())
    async with running(database_url, {"failing": {**OPEN, "provider": "failing"}}) as receiver:
        answer = await receiver.client.post(receiver.hook("failing"), content=DELIVERED)

        assert 401 == answer.status_code
        assert ["unverified"] == await receiver.states()


# --- not stored ---------------------------------------------------------------------------------------------


async def test_probes_are_answered_and_leave_nothing(receiver: Receiver) -> None:
    hook, client = receiver.hook(), receiver.client

    answers = [
        await client.get(hook),
        await client.get(f"{hook}?"),
        await client.head(hook),
        await client.head(f"{hook}?a=1"),
        await client.request("HEAD", hook, content=DELIVERED),
        await client.post(hook),
        await client.post(f"{hook}?a=1"),
        await client.post(hook, headers={"transfer-encoding": "chunked"}),
    ]

    assert [200] * len(answers) == [answer.status_code for answer in answers]
    assert [] == await receiver.payloads()


async def test_head_is_answered_like_get_without_a_body(receiver: Receiver) -> None:
    head, get = await receiver.client.head(receiver.hook()), await receiver.client.get(receiver.hook())

    assert b"" == head.content
    assert get.headers == head.headers


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
async def test_an_address_that_does_not_exist_is_not_found(receiver: Receiver, method: str) -> None:
    paths = [
        f"{CHANNEL}/wrong", f"{CHANNEL}/", CHANNEL, f"nobody/{TOKEN}", f"/{TOKEN}", "", f"{CHANNEL}/{TOKEN}x",
        f"{CHANNEL}/{TOKEN[:-1]}", f"{CHANNEL}/{TOKEN}/", f"{CHANNEL}//{TOKEN}", f"{CHANNEL}/%00", "nobody/-",
        f"{CHANNEL}/-", f"{CHANNEL.upper()}/{TOKEN}", f"{CHANNEL}/%FF%FE", f"{CHANNEL}/%F0%9F%93%AE",
    ]  # fmt: skip

    answers = [
        await receiver.client.request(method, f"{receiver.url}/hooks/{path}", content=DELIVERED)
        for path in paths
    ]

    assert dict.fromkeys(paths, 404) == dict(zip(paths, (one.status_code for one in answers), strict=True))
    assert [] == await receiver.payloads()


async def test_other_methods_are_told_which_ones_are_meant(receiver: Receiver) -> None:
    answer = await receiver.client.put(receiver.hook(), content=DELIVERED)

    assert (405, "GET, HEAD, POST") == (answer.status_code, answer.headers["allow"])
    assert [] == await receiver.payloads()


async def test_every_listed_token_opens_the_door_however_it_is_written(database_url: str) -> None:
    tokens = [16 * "old", 16 * "new", f"{16 * 'w'}ith/slash", f"{16 * 'n'}aïve 🔑"]
    async with running(database_url, {CHANNEL: {**OPEN, "tokens": tokens}}) as receiver:
        w, n = 16 * "w", 16 * "n"
        paths = [
            *(16 * "old", 16 * "new", f"n%65w{15 * 'new'}", f"{w}ith/slash", f"{w}ith%2Fslash"),
            f"{n}a%C3%AFve%20%F0%9F%94%91",
        ]
        answers = [
            await receiver.client.post(f"{receiver.url}/hooks/{CHANNEL}/{path}", content=DELIVERED)
            for path in paths
        ]

        assert [200] * len(paths) == [answer.status_code for answer in answers]


async def test_a_channel_without_tokens_takes_any_but_not_none(database_url: str) -> None:
    channels = {CHANNEL: {**OPEN, "tokens": [], "insecure": True}}
    async with running(database_url, channels) as receiver:
        answers = [
            await receiver.client.post(f"{receiver.url}/hooks/{CHANNEL}{path}", content=DELIVERED)
            for path in ("/anything", "/any/thing", "/%FF", "/", "")
        ]

        assert [200, 200, 200, 404, 404] == [answer.status_code for answer in answers]


# --- too large, too slow, packed ----------------------------------------------------------------------------


async def pieces(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def test_a_body_over_the_cap_is_refused_announced_or_counted(database_url: str) -> None:
    channels = {**CHANNELS, "small": {**OPEN, "max_body": 200}}
    async with running(database_url, channels) as receiver:
        post, hook, small = receiver.client.post, receiver.hook(), receiver.hook("small")
        answers = [
            await post(hook, content=b" " * (MIB + 1)),
            await post(hook, content=pieces(b" " * MIB, b" ")),
            await post(hook, content=b" " * (8 * MIB)),
            await post(small, content=b" " * 201),
            await post(small, content=pieces(*[b" "] * 201)),
            await post(hook, content=DELIVERED + b" " * (MIB - len(DELIVERED))),
            await post(small, content=DELIVERED + b" " * (200 - len(DELIVERED))),
        ]

        assert [413, 413, 413, 413, 413, 200, 200] == [answer.status_code for answer in answers]
        assert [MIB, 200] == [len(payload["body"]) for payload in await receiver.payloads()]


async def test_a_body_that_does_not_end_is_given_up(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BoundedProtocol, "deadline", 0.1)

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b" "
            await asyncio.sleep(0.02)

    answer = await receiver.client.post(receiver.hook(), content=endless())

    assert 408 == answer.status_code
    assert [] == await receiver.payloads()


def bare_deflate(body: bytes) -> bytes:
    packing = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packing.compress(body) + packing.flush()


def padded(size: int) -> bytes:
    """A report of *size* bytes that packs as reports do, and not as blanks would."""
    noise = random.Random(0).randbytes(size // 16).hex()  # noqa: S311
    return report(note=noise).ljust(size)


PACKED = {
    "gzip": ("gzip", gzip.compress(DELIVERED), "applied"),
    "gzip in capitals": ("GZip", gzip.compress(DELIVERED), "applied"),
    "deflate": ("deflate", zlib.compress(DELIVERED), "applied"),
    "deflate without its header": ("deflate", bare_deflate(DELIVERED), "applied"),
    "as large as may be": ("gzip", gzip.compress(padded(MIB)), "applied"),
    "a byte larger": ("gzip", gzip.compress(padded(MIB + 1)), "quarantined"),
    "mostly air": ("gzip", gzip.compress(DELIVERED.ljust(MIB)), "quarantined"),
    "a bomb": ("gzip", gzip.compress(bytes(256 * MIB), 9), "quarantined"),
    "cut short": ("gzip", gzip.compress(DELIVERED)[:-9], "quarantined"),
    "without its checksum": ("gzip", gzip.compress(DELIVERED)[:-8], "quarantined"),
    "with a wrong checksum": ("gzip", gzip.compress(DELIVERED)[:-8] + bytes(8), "quarantined"),
    "followed by another": ("gzip", gzip.compress(DELIVERED) * 2, "quarantined"),
    "not packed at all": ("gzip", DELIVERED, "quarantined"),
    "packed in an unknown way": ("br", DELIVERED, "quarantined"),
}


async def test_packed_bodies_are_read_and_kept_as_they_came(receiver: Receiver) -> None:
    answers = [
        await receiver.client.post(receiver.hook(), content=body, headers={"content-encoding": encoding})
        for encoding, body, _ in PACKED.values()
    ]

    assert [200] * len(PACKED) == [answer.status_code for answer in answers]
    kept = await receiver.payloads()
    assert [body for _, body, _ in PACKED.values()] == [payload["body"] for payload in kept]
    outcomes = [payload["state"].replace("duplicate", "applied") for payload in kept]
    assert {name: state for name, (_, _, state) in PACKED.items()} == dict(zip(PACKED, outcomes, strict=True))
