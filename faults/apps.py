"""Apps that hear of events while everything around them breaks: one asks, one is called."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import httpx
import orjson

#: seconds that a request for the feed waits for news, and before the next one after a failure
WAIT, PAUSE = 2, 0.1


class Told:
    """What an app was told: under which number which event."""

    def __init__(self) -> None:
        self.events: dict[int, UUID] = {}
        #: numbers that were given to two events
        self.reused: set[int] = set()

    def hear(self, sequence: int, event: UUID) -> None:
        if self.events.setdefault(sequence, event) != event:
            self.reused.add(sequence)


class FeedReader:
    """Reads the feed from its beginning, page by page, again where it was after each failure."""

    def __init__(self, api: httpx.AsyncClient) -> None:
        self.told = Told()
        self.resets = 0
        #: what else than 200 it was answered
        self.refused: Counter[int | str] = Counter()
        self._api = api
        self._cursor: str | None = None

    async def run(self) -> None:
        """Reads until canceled."""
        while True:
            await self.read(WAIT)

    async def read(self, wait: float = 0) -> int:
        """Reads a page; returns how many events it had, and -1 after a failure."""
        query: dict[str, str | float] = {"limit": 200, "wait": wait}
        if self._cursor is not None:
            query["after"] = self._cursor
        try:
            answer = await self._api.get("/v1/events", params=query)
        except httpx.TransportError as error:
            self.refused[type(error).__name__] += 1
            await asyncio.sleep(PAUSE)
            return -1
        if answer.status_code != httpx.codes.OK:
            self.refused[answer.status_code] += 1
            await asyncio.sleep(PAUSE)
            return -1
        page = answer.json()
        self.resets += page.get("reset", False)
        for event in page["data"]:
            self.told.hear(event["sequence"], UUID(event["id"]))
        self._cursor = page["next_cursor"]
        return len(page["data"])


@asynccontextmanager
async def called(told: Told) -> AsyncIterator[str]:
    """Runs an app that events are posted to, and which takes them all; yields its URL."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := (await reader.readuntil(b"\r\n\r\n")).lower():
                length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
                event = orjson.loads(await reader.readexactly(length))["data"]["event"]
                told.hear(event["sequence"], UUID(event["id"]))
                writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}/"
    finally:
        server.close()
