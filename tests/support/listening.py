"""A client of the feed's stream."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from tests.support.patience import PATIENCE

FEED = "/v1/events"


class Listener:
    """A client of the stream, and the fields of what it was sent."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._lines = response.aiter_lines()

    async def next(self, within: float = PATIENCE) -> dict[str, str]:
        """The fields of the next event or comment (whose field is empty)."""
        fields: dict[str, str] = {}
        async with asyncio.timeout(within):
            async for line in self._lines:
                if line:
                    name, _, value = line.partition(": ")
                    fields[name] = value
                elif fields:
                    return fields
        return {}

    async def events(self, number: int) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        async with asyncio.timeout(PATIENCE):  # signs of life are no events
            while len(found) < number:
                fields = await self.next()
                assert fields, "the stream ended"
                if "data" in fields and "event" not in fields:
                    found.append(json.loads(fields["data"]))
        return found


@asynccontextmanager
async def listener(
    client: httpx.AsyncClient, url: str, last: str | None = None, **query: str
) -> AsyncIterator[Listener]:
    headers = {"last-event-id": last} if last else {}
    async with client.stream("GET", f"{url}{FEED}/stream", params=query, headers=headers) as response:
        assert 200 == response.status_code, await response.aread()
        yield Listener(response)
