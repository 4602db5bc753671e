"""Servers that say to the letter what a test wants said."""

import asyncio
import ssl
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


class Server:
    """Answers every request with *answer*, or what was put into *turns* before, and keeps what it was sent,
    by connection; *at* is when, on the event loop's clock."""

    def __init__(self, answer: bytes) -> None:
        self.port = 0
        self.turns: deque[bytes] = deque()
        self.at: list[float] = []
        self.answer = answer
        self.heard: list[bytes] = []
        self._open: dict[asyncio.Task[None] | None, asyncio.StreamWriter] = {}

    async def hear(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open[asyncio.current_task()] = writer
        place = len(self.heard)
        self.heard.append(b"")
        while said := await reader.read(65536):
            self.heard[place] += said
            self.at.append(asyncio.get_running_loop().time())
            answer = self.turns.popleft() if self.turns else self.answer
            writer.write(answer)
            if not answer:
                break
        writer.close()

    async def hang_up(self) -> None:
        for writer in self._open.values():
            writer.close()
        await asyncio.gather(*filter(None, self._open), return_exceptions=True)


@asynccontextmanager
async def serving(
    host: str = "127.0.0.1", port: int = 0, answer: bytes = OK, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Server]:
    server = Server(answer)
    async with await asyncio.start_server(server.hear, host, port, ssl=tls) as listener:
        server.port = listener.sockets[0].getsockname()[1]
        yield server
        await server.hang_up()
