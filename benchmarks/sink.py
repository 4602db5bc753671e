"""An app that takes events and does nothing: ``python -m benchmarks.sink``. ``GET /`` tells how many came,
and how many milliseconds after their receipt at the carriers' door."""

import asyncio
import time
from datetime import datetime
from typing import cast

import orjson

_OK = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
_RECEIVED_AT = b'"received_at":"'


class Sink(asyncio.Protocol):
    """One connection; requests have a ``content-length`` or no body."""

    count = 0
    lags: list[float] = []

    _transport: asyncio.Transport

    def __init__(self) -> None:
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        while True:
            head, end, rest = self._received.partition(b"\r\n\r\n")
            if not end:
                return
            _, _, after = head.lower().partition(b"content-length:")
            length = int(after.partition(b"\r\n")[0]) if after else 0
            if len(rest) < length:
                return
            body, self._received = rest[:length], rest[length:]
            self._transport.write(_told() if head.startswith(b"GET ") else _taken(body))


def _taken(body: bytes) -> bytes:
    Sink.count += 1
    _, _, after = body.partition(_RECEIVED_AT)
    if after:
        received_at = datetime.fromisoformat(after[:24].decode())
        Sink.lags.append((time.time() - received_at.timestamp()) * 1000)
    return _OK


def _told() -> bytes:
    body = orjson.dumps({"count": Sink.count, "lags": Sink.lags})
    Sink.lags = []
    return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)


async def serve() -> None:
    server = await asyncio.get_running_loop().create_server(Sink, "127.0.0.1", 0, backlog=1024)
    host, port = server.sockets[0].getsockname()
    print(f"ready http://{host}:{port}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve())
