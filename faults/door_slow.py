"""Callers that nobody wants, in a process of their own: ``python -m faults.door_slow HOST PORT PATH NUMBER``.

NUMBER connections, `COMING` a second, each one of the `kinds`. The last line of output is JSON: of each kind
its number, what they were answered, and the most seconds until one of them had lost its connection.
"""

import asyncio
import gzip
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from time import perf_counter

from faults.crowd import Ended, crowd, shuffled, tell

#: seconds between two bytes of those who dawdle, and until this side gives up
DRIP, PATIENCE = 1.0, 30.0
#: connections a second: all of them are there long before the first has to go, and it is their being there
#: that is tried, not what it costs this side to make so many within a moment, on the same cores
COMING = 300


@dataclass(frozen=True, slots=True)
class Kind:
    """*share* of all connections. *begin* goes out at once, then *more*, a piece every *pause* seconds.

    *right* are the statuses that it may be answered with, 0 for none.
    """

    name: str
    share: float
    begin: bytes
    more: Callable[[], Iterator[bytes]]
    pause: float
    right: tuple[int, ...]


def kinds(path: str) -> list[Kind]:
    head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n".encode()
    chunked = head + b"transfer-encoding: chunked\r\n\r\n"
    large = bytes(0x4000)
    bomb = gzip.compress(bytes(1 << 24), 9, mtime=0)
    bombing = head + b"content-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(bomb)
    return [
        Kind("idle", 0.25, b"", _nothing, DRIP, (0,)),
        Kind("slow headers", 0.25, head, lambda: _drip(b"x"), DRIP, (408,)),
        Kind("slow body", 0.2, head + b"content-length: 5000\r\n\r\n", lambda: _drip(b"{"), DRIP, (408,)),
        Kind("lying length", 0.1, head + b'content-length: 5000\r\n\r\n{"a":1}', _nothing, DRIP, (408,)),
        Kind("chunks without end", 0.1, chunked, lambda: _drip(b"1\r\nx\r\n"), DRIP, (408,)),
        Kind("chunks in a flood", 0.02, chunked, lambda: _drip(b"4000\r\n" + large + b"\r\n"), 0, (413,)),
        Kind("oversize", 0.03, head + b"content-length: 99999999\r\n\r\n", lambda: _drip(large), 0, (413,)),
        Kind("bomb", 0.025, bombing + bomb, _nothing, DRIP, (200,)),
        Kind("100,000 headers", 0.025, head, lambda: _headers(100_000), 0, (431,)),
    ]  # fmt: skip


def _nothing() -> Iterator[bytes]:
    return iter(())


def _drip(piece: bytes) -> Iterator[bytes]:
    while True:
        yield piece


def _headers(number: int) -> Iterator[bytes]:
    for begin in range(0, number, 500):
        yield b"".join(b"x-%d: %d\r\n" % (place, place) for place in range(begin, begin + 500))


async def call(host: str, port: int, kind: Kind, after: float) -> Ended[Kind]:
    """Begins *after* seconds; goes on until it is answered, its connection is closed, or patience ends."""
    await asyncio.sleep(after)
    reader, writer = await asyncio.open_connection(host, port)
    began = perf_counter()
    writer.write(kind.begin)
    sending = asyncio.create_task(_send(writer, kind))
    try:
        async with asyncio.timeout(PATIENCE):
            head = await reader.readuntil(b"\r\n\r\n")
            status = int(head.split(b" ", 2)[1])
    except TimeoutError:
        status = -1
    except (OSError, asyncio.IncompleteReadError):
        status = 0
    taken = perf_counter() - began
    sending.cancel()
    writer.transport.abort()
    return Ended(kind, status, taken)


async def _send(writer: asyncio.StreamWriter, kind: Kind) -> None:
    try:
        for piece in kind.more():
            await asyncio.sleep(kind.pause)
            writer.write(piece)
            await writer.drain()
    except OSError:
        return


def main() -> None:
    host, port, path, number = sys.argv[1:]
    tell(crowd(shuffled(kinds(path), int(number)), COMING, partial(call, host, int(port))))


if __name__ == "__main__":
    main()
