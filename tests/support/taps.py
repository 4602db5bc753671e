"""Both ends that Postback talks to, byte by byte: apps that are posted to, and listeners to the stream.

What came before `mark` is told from what came after it.
"""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from tests.support.app import Heard

#: what an app does with a post: takes it, refuses it with what it was told, or never answers
Manner = Literal["takes", "refuses", "hangs"]


@dataclass
class Tap:
    """An app. *posts* came whole; *streams* are the bytes of each connection."""

    url: str = ""
    manner: Manner = "takes"
    posts: list[Heard] = field(default_factory=list)
    streams: list[bytearray] = field(default_factory=list)
    _posts: int = 0
    _bytes: list[int] = field(default_factory=list)

    def mark(self) -> None:
        self._posts, self._bytes = len(self.posts), [len(stream) for stream in self.streams]

    @property
    def later(self) -> list[Heard]:
        """Posts that came whole after the mark."""
        return self.posts[self._posts :]

    @property
    def later_bytes(self) -> bytes:
        """All that came after the mark, of whole posts or not."""
        begun = self._bytes + [0] * (len(self.streams) - len(self._bytes))
        return b"\n".join(bytes(stream[at:]) for at, stream in zip(begun, self.streams, strict=True))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        stream = bytearray()
        self.streams.append(stream)
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await self._until(reader, stream, len(stream), None)
                names = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:] if line)
                headers = {name.lower(): value for name, value in names.items()}
                body = await self._until(reader, stream, len(stream), int(headers["content-length"]))
                self.posts.append(Heard(headers, body, asyncio.get_running_loop().time()))
                await self._answer(reader, writer, body)
        writer.close()

    async def _until(
        self, reader: asyncio.StreamReader, stream: bytearray, begun: int, size: int | None
    ) -> bytes:
        """The next *size* bytes; where it is None, those to the end of the headers."""
        while size is None or len(stream) < begun + size:
            if size is None and stream[begun:].endswith(b"\r\n\r\n"):
                break
            piece = await reader.read(1 if size is None else begun + size - len(stream))
            if not piece:
                raise asyncio.IncompleteReadError(b"", None)
            stream += piece
        return bytes(stream[begun:])

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: bytes) -> None:
        if self.manner == "hangs":
            await reader.read(1)  # until the other end gives up
            raise ConnectionError
        status, said = ("500 No", body) if self.manner == "refuses" else ("200 OK", b"")
        writer.write(f"HTTP/1.1 {status}\r\ncontent-length: {len(said)}\r\n\r\n".encode() + said)
        await writer.drain()


@asynccontextmanager
async def tapped(manner: Manner = "takes") -> AsyncIterator[Tap]:
    tap = Tap(manner=manner)
    async with await asyncio.start_server(tap.serve, "127.0.0.1", 0) as server:
        tap.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/events"
        yield tap


class Ear:
    """A listener to the stream that takes what it is sent only when it is told to."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self.heard = bytearray()
        self.ended = False

    async def listen(self, until: bytes | None = None, within: float = 60) -> None:
        """Takes everything, to the end, or as far as *until*. Raises ``TimeoutError``."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(within):
            while not self.ended and (until is None or until not in self.heard):
                try:
                    piece = await loop.sock_recv(self._connection, 65536)
                except ConnectionError:
                    piece = b""
                self.heard += piece
                self.ended = not piece

    async def forget(self) -> None:
        """Takes and forgets everything that has left the server by now."""
        left, before = self.on_the_way, len(self.heard)
        loop = asyncio.get_running_loop()
        while not self.ended and len(self.heard) - before < left:
            with suppress(ConnectionError):
                piece = await loop.sock_recv(self._connection, left - (len(self.heard) - before))
                self.heard += piece
                if piece:
                    continue
            self.ended = True
        self.heard.clear()

    @property
    def on_the_way(self) -> int:
        """Bytes that have left the server, and are not taken yet: the kernel has them, at either end."""
        mine, theirs = self._connection.getsockname()[1], self._connection.getpeername()[1]
        total = 0
        for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
            _, local, remote, _, queues, *_ = line.split()
            ports = [int(address.rpartition(":")[2], 16) for address in (local, remote)]
            sent, received = (int(queue, 16) for queue in queues.split(":"))
            if ports == [mine, theirs]:
                total += received
            elif ports == [theirs, mine]:
                total += sent
        return total


@asynccontextmanager
async def ear(url: str, key: str, last: str | None = None) -> AsyncIterator[Ear]:
    """One that listens from the cursor *last* on, or from the oldest event."""
    address = urlsplit(url)
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(connection, (address.hostname, address.port))
        since = f"Last-Event-ID: {last}\r\n" if last else ""
        request = f"GET /v1/events/stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n{since}\r\n"
        await loop.sock_sendall(connection, request.encode())
        yield Ear(connection)
