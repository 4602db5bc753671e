"""Carriers that answer compressed, although nobody asked them to."""

import gzip
import zlib
from pathlib import Path

import pytest

from models.sends import Answer, Call
from receiver.http import AnswerLost, Client
from receiver.http.calls import LARGEST_ANSWER
from tests.support.sockets import serving

SAID = b'{"status": "accepted", "id": "MMSMT7Qx2LmZp"}'
#: kilobytes that this process may grow by, where one chunk of a bomb unpacked to 64 MiB
GROWTH = 16 * 1024


async def answer_to_a_call(body: bytes, encoding: str, status: int = 200) -> Answer:
    head = f"HTTP/1.1 {status} Said\r\ncontent-encoding: {encoding}\r\ncontent-length: {len(body)}\r\n\r\n"
    async with serving(answer=head.encode() + body) as server, Client() as client:
        return await client.call(Call("POST", f"http://127.0.0.1:{server.port}/", {}, b"{}"))


@pytest.mark.parametrize(
    ("encoding", "body"),
    [("gzip", gzip.compress(SAID)), ("deflate", zlib.compress(SAID)), ("identity", SAID)],
    ids=["gzip", "deflate", "identity"],  # a body's id would hold the time at which it was packed
)
async def test_an_answer_that_is_compressed_unasked_is_read(encoding: str, body: bytes) -> None:
    assert SAID == (await answer_to_a_call(body, encoding)).body


def peak() -> int:
    """The most resident memory that this process had since `forget_peak`, in kilobytes."""
    return int(Path("/proc/self/status").read_text("utf-8").partition("VmHWM:")[2].split()[0])


def forget_peak() -> int:
    Path("/proc/self/clear_refs").write_text("5", "ascii")
    return peak()


@pytest.mark.parametrize("name", ["a bomb", "in an unknown encoding"])
async def test_an_answer_that_unpacks_to_too_much_is_lost_and_takes_no_memory(name: str) -> None:
    packing = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    body = b"".join(packing.compress(bytes(1 << 20)) for _ in range(128)) + packing.flush()
    encoding = "gzip" if name == "a bomb" else "zstd"
    before = forget_peak()

    assert len(body) < LARGEST_ANSWER
    with pytest.raises(AnswerLost):
        await answer_to_a_call(body, encoding)
    assert b"" == (await answer_to_a_call(body, encoding, 400)).body

    assert peak() - before < GROWTH
