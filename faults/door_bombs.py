"""Callers whose requests cost more than their bytes: ``python -m faults.door_bombs HOST PORT KNOWN OPEN N``.

N requests, `COMING` a second, each one of the `bombs`: to KNOWN, a path with its token, or to OPEN, where no
token is asked for. The last line of output is JSON: of each kind what it was answered.
"""

import asyncio
import gzip
import json
import sys
from collections import Counter
from dataclasses import dataclass
from itertools import cycle, islice

import uvloop

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


async def call(host: str, port: int, bomb: Bomb, after: float) -> tuple[Bomb, int]:
    """Returns what *bomb* was answered, 0 for nothing and -1 for nothing in time."""
    await asyncio.sleep(after)
    try:
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(bomb.request)
            status = int((await reader.readuntil(b"\r\n")).split(b" ", 2)[1])
            writer.transport.abort()
            return bomb, status
    except TimeoutError:
        return bomb, -1
    except (OSError, asyncio.IncompleteReadError):
        return bomb, 0


async def crowd(host: str, port: int, known: str, open_: str, number: int) -> list[tuple[Bomb, int]]:
    kinds = bombs(known, open_)
    chosen = list(islice(cycle([*kinds, *[kinds[-1]] * HANGING]), number))
    print("calling", len(chosen), flush=True)
    return await asyncio.gather(
        *(call(host, port, bomb, place / COMING) for place, bomb in enumerate(chosen))
    )


def main() -> None:
    host, port, known, open_, number = sys.argv[1:]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        answered = runner.run(crowd(host, int(port), known, open_, int(number)))
    told = {
        bomb.name: {
            "answers": dict(Counter(str(status) for one, status in answered if one is bomb)),
            "wrong": sum(status not in bomb.right for one, status in answered if one is bomb),
        }
        for bomb, _ in answered
    }
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
