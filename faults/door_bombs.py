"""Callers whose requests cost more than their bytes: ``python -m faults.door_bombs HOST PORT KNOWN OPEN N``.

N requests, `COMING` a second, each one of the `bombs`: to KNOWN, a path with its token, or to OPEN, where no
token is asked for. The last line of output is JSON, see `faults.crowd.tell`.
"""

import asyncio
import gzip
import sys
from dataclasses import dataclass
from functools import partial
from itertools import cycle, islice
from time import perf_counter

from faults.crowd import Ended, crowd, tell

#: requests a second, and seconds until this side gives up on an answer
COMING, PATIENCE = 25, 20.0
MIB = 1 << 20
#: beside each request at the open door, bodies of a MiB there whose last byte does not come
HANGING = 8


@dataclass(frozen=True, slots=True)
class Bomb:
    """*right* are the statuses that it may be answered with, 0 for none."""

    name: str
    request: bytes
    right: tuple[int, ...]


def bombs(known: str, open_: str) -> list[Bomb]:
    elements = b"[" + b"{}," * 349_000 + b"{}]"
    parts = b"--b\r\n\r\n\r\n" * (MIB // 9)
    form = "content-type: multipart/form-data; boundary=b\r\n"
    return [
        Bomb("349,000 elements in a kilobyte", _post(open_, gzip.compress(elements, 9), _GZIP), (200,)),
        Bomb("16 MiB in 16 KiB", _post(known, gzip.compress(bytes(16 * MIB), 9), _GZIP), (200,)),
        Bomb("elements", _post(known, b"[" + b"{}," * (MIB // 3 - 2) + b"{}]"), (200,)),
        Bomb("elements at the open door", _post(open_, elements[: MIB - 1]), (200, 503)),
        Bomb("arrays in arrays", _post(known, b"[" * MIB), (200,)),
        Bomb("parts", _post(open_, parts, form), (200, 503)),
        Bomb("fields", _post(open_, b"a=&" * (MIB // 3)), (200, 503)),
        Bomb("headers", _post(known, b"{}", "".join(f"x-{n}: {n}\r\n" for n in range(4_000))), (200,)),
        Bomb("more headers", _post(known, b"{}", "".join(f"x-{n}: {n}\r\n" for n in range(9_000))), (431,)),
        Bomb("a body that does not end", _post(open_, bytes(MIB))[:-1], (0, 408, 503)),
    ]  # fmt: skip


_GZIP = "content-encoding: gzip\r\n"


def _post(path: str, body: bytes, headers: str = "") -> bytes:
    head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n{headers}content-length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def call(host: str, port: int, bomb: Bomb, after: float) -> Ended[Bomb]:
    """Begins *after* seconds; goes on until it is answered, its connection is closed, or patience ends."""
    await asyncio.sleep(after)
    began = perf_counter()
    try:
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(bomb.request)
            status = int((await reader.readuntil(b"\r\n")).split(b" ", 2)[1])
            writer.transport.abort()
    except TimeoutError:
        status = -1
    except (OSError, asyncio.IncompleteReadError):
        status = 0
    return Ended(bomb, status, perf_counter() - began)


def main() -> None:
    host, port, known, open_, number = sys.argv[1:]
    kinds = bombs(known, open_)
    chosen = list(islice(cycle([*kinds, *[kinds[-1]] * HANGING]), int(number)))
    tell(crowd(chosen, COMING, partial(call, host, int(port))))


if __name__ == "__main__":
    main()
