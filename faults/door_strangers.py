"""Callers whom nobody knows, in a process of their own.

``python -m faults.door_strangers HOST PORT NUMBER COMING``: NUMBER connections, COMING a second, 0 for all at
once, each with a request of one of the `KINDS`. The last line of output is JSON: by kind its number, what
was answered, and the most seconds that one waited.
"""

import asyncio
import secrets
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from random import Random
from time import perf_counter

from faults.crowd import Ended, crowd, shuffled, tell
from faults.traffic import CHANNEL

#: seconds until this side gives up
PATIENCE = 60.0
#: characters of a token, a path or a key that is longer than any
LONG = 16_000


@dataclass(frozen=True, slots=True)
class Kind:
    """*share* of all connections; *request* makes a new one each time. *right* are its statuses, 503 beside
    them where the process has too much to do."""

    name: str
    share: float
    request: Callable[[], bytes]
    right: tuple[int, ...]


KINDS = (
    Kind("keys without a proof", 0.3, lambda: _get("/v1/messages", _key(43)), (401,)),
    Kind("keys with a wrong proof", 0.2, lambda: _get("/v1/messages", _key(65)), (401,)),
    Kind("keys of any length", 0.05, lambda: _get("/v1/messages", "x" * LONG), (401, 431)),
    Kind("no key", 0.05, lambda: _get(f"/v1/messages/{secrets.token_hex(16)}"), (401,)),
    Kind("paths", 0.1, lambda: _get(f"/{secrets.token_urlsafe(12)}"), (404,)),
    Kind("long paths", 0.05, lambda: _get("/v1/opt-outs/" + "%20" * (LONG // 3)), (401, 404, 431)),
    Kind("pages", 0.05, lambda: _get(Random().choice(["/docs", "/openapi.json", "/metrics"])), (200,)),
    Kind("tokens", 0.1, lambda: _post(f"/hooks/{CHANNEL}/{secrets.token_urlsafe(24)}", 400), (404,)),
    Kind("channels", 0.05, lambda: _post(f"/hooks/{secrets.token_hex(8)}/x", 400), (404,)),
    Kind("large bodies", 0.05, lambda: _post(f"/hooks/{CHANNEL}/x", 1 << 19), (404,)),
)


def _key(length: int) -> str:
    return f"pb_{secrets.token_hex(16)}.{secrets.token_urlsafe(length)[:length]}"


def _get(path: str, key: str = "") -> bytes:
    head = f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n"
    return (head + (f"authorization: Bearer {key}\r\n" if key else "") + "\r\n").encode()


def _post(path: str, length: int) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
    return head.encode() + b"{" + b" " * (length - 1)


async def call(host: str, port: int, kind: Kind, after: float) -> Ended[Kind]:
    """Begins *after* seconds; goes on until it is answered, its connection is closed, or patience ends."""
    await asyncio.sleep(after)
    began, status = perf_counter(), -1
    writer = None
    try:
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(kind.request())
            head = await reader.readuntil(b"\r\n\r\n")
            status = int(head.split(b" ", 2)[1])
    except TimeoutError:
        pass
    except (OSError, asyncio.IncompleteReadError):
        status = 0
    if writer:
        writer.transport.abort()
    return Ended(kind, status, perf_counter() - began)


def main() -> None:
    host, port, number, coming = sys.argv[1:]
    tell(crowd(shuffled(KINDS, int(number)), float(coming), partial(call, host, int(port))), 503)


if __name__ == "__main__":
    main()
