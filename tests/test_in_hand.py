"""Bodies on their way: what a process holds of them is bounded, and strangers do not keep others out."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import orjson
import pytest

from receiver.in_hand import CAPACITY, SMALL, Body, Crowded, InHand
from tests.support.receiver import CHANNEL, TOKEN, Receiver, running
from tests.support.store import postback

MIB = 1 << 20
REPORT = orjson.dumps(postback("N102", "MMSMT7Qx2LmZp"))
CHANNELS = {
    CHANNEL: {"provider": "sinch_mms", "tokens": [TOKEN], "from": ["+18885551234"]},
    # proves its callers by their signature alone, which comes with the body
    "signed": {"provider": "sinch_sms", "tokens": [], "webhook_secret": "signs every body"},
    "open": {"provider": "sinch_mms", "tokens": [], "insecure": True},
    "known": {"provider": "sinch_mms", "basic": ["user:password"]},
    "near": {"provider": "sinch_mms", "tokens": [TOKEN], "allow_from": ["192.0.2.0/24"]},
}


@pytest.fixture
async def receiver(database_url: str) -> AsyncIterator[Receiver]:
    async with running(database_url, CHANNELS) as served:
        yield served


@asynccontextmanager
async def hanging(receiver: Receiver, path: str, number: int) -> AsyncIterator[list[bytes]]:
    """*number* bodies of a MiB to *path*, of which the last byte does not come; yields what was answered."""
    head = f"POST {path} HTTP/1.1\r\nhost: here\r\ncontent-length: {MIB}\r\n\r\n".encode()
    piece = bytes(16 * 1024 - 1)
    answers: list[bytes] = []

    async def call(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        with suppress(ConnectionError):
            for _ in range(MIB // (16 * 1024)):
                writer.write(piece)
                await writer.drain()
        answers.append((await reader.read(12))[9:])

    async with AsyncExitStack() as stack:
        opened = [await asyncio.open_connection(*receiver.address) for _ in range(number)]
        for _, writer in opened:
            stack.callback(writer.transport.abort)
        calls = [asyncio.create_task(call(*one)) for one in opened]
        await asyncio.wait(calls, timeout=3.0)
        yield answers
        for one in calls:
            one.cancel()
        await asyncio.gather(*calls, return_exceptions=True)


def peak() -> int:
    """The most resident memory of this process since `forget_peak`, in bytes."""
    return 1024 * int(Path("/proc/self/status").read_text("utf-8").partition("VmHWM:")[2].split()[0])


def forget_peak() -> int:
    Path("/proc/self/clear_refs").write_text("5", "ascii")
    return peak()


@pytest.mark.parametrize("channel", ["signed", "open", "known", "near"])
async def test_strangers_take_a_sixteenth_of_the_room_and_others_are_served(
    receiver: Receiver, channel: str
) -> None:
    before = forget_peak()
    async with hanging(receiver, f"/hooks/{channel}/{TOKEN}", 200) as answers:
        grown = peak() - before
        refused = await receiver.client.post(receiver.hook("open"), content=bytes(SMALL + 1))
        genuine = await receiver.client.post(receiver.hook(), content=REPORT + b" " * 500_000)
        small = await receiver.client.post(receiver.hook("open"), content=REPORT)

    assert grown < CAPACITY  # that of the callers among it
    assert {b"503"} == set(answers)
    assert len(answers) >= 200 - CAPACITY // 16 // MIB
    assert [503, 200, 200] == [refused.status_code, genuine.status_code, small.status_code]
    assert "5" == refused.headers["retry-after"]


async def test_a_channel_that_is_flooded_under_its_token_leaves_room_to_others(receiver: Receiver) -> None:
    before = forget_peak()
    async with hanging(receiver, f"/hooks/{CHANNEL}/{TOKEN}", 200) as answers:
        grown = peak() - before
        other = await receiver.client.post(
            receiver.hook("known"), content=REPORT + b" " * 100_000, auth=("user", "password")
        )
        upload = await receiver.client.post(
            f"{receiver.url}/v1/messages/lookup",
            json={"ids": ["none"], "client_references": [" " * 100_000]},
            headers={"authorization": f"Bearer {receiver.key}"},
        )

    assert grown < CAPACITY
    assert {b"503"} == set(answers)
    assert [200, 422] == [other.status_code, upload.status_code]


async def test_room_is_given_back_with_the_answer_whatever_it_is(receiver: Receiver) -> None:
    bodies = [REPORT + b" " * 100_000, bytes(MIB), bytes(MIB + 1)]
    async with hanging(receiver, f"/hooks/open/{TOKEN}", 20):
        pass
    for body in bodies:
        for channel in CHANNELS:
            await receiver.client.post(receiver.hook(channel), content=body)

    async with asyncio.timeout(10):
        while receiver.app._in_hand.size:  # noqa: ASYNC110 - of connections that this side has cut off
            await asyncio.sleep(0.01)
    assert {} == receiver.app._in_hand._by_share


def filled(body: Body, piece: int = 64 * 1024) -> int:
    size = 0
    with suppress(Crowded):
        while size <= 2 * CAPACITY:
            body.came(piece, whole=False)
            size += piece
    return size


def test_nobody_takes_what_is_reserved_for_others() -> None:
    in_hand = InHand(MIB)

    assert CAPACITY // 16 == filled(in_hand.of_stranger("192.0.2.1", MIB))
    for number in range(2, 10):
        filled(in_hand.of_stranger(f"192.0.2.{number}", MIB))
    assert CAPACITY // 4 == in_hand.size
    assert CAPACITY // 2 == filled(in_hand.of_api())
    assert CAPACITY // 4 == filled(in_hand.of_channel("sinch-us", MIB))
    assert CAPACITY == in_hand.size


def test_the_largest_body_of_a_channel_finds_room() -> None:
    largest = 3 * CAPACITY
    in_hand = InHand(largest)

    for body in (in_hand.of_stranger(None, largest), in_hand.of_channel("swift", largest)):
        body.came(largest, whole=True)
        body.answered()

    assert 0 == in_hand.size
