"""One look at all numbers, for all who look within a second."""

import asyncio
import time
from collections.abc import Collection

from prometheus_client.exposition import choose_encoder

from receiver.metrics.page import Page, written
from receiver.metrics.questions import Questions
from receiver.metrics.sheet import Sheet

#: seconds for which a page is given again
FRESH = 1.0


class Scrape:
    """What the processes counted, what their gauges say, and what the database tells.

    A page is written once a second at most in each format, however many ask: anybody may, without a key.
    """

    def __init__(self, sheet: Sheet, questions: Questions, channels: Collection[str]) -> None:
        self._sheet, self._questions, self._channels = sheet, questions, channels
        #: by media type, of which there are a handful: when it was written, and the page
        self._pages: dict[str, tuple[float, bytes]] = {}
        self._writing = asyncio.Lock()

    async def __call__(self, accept: str) -> tuple[bytes, str]:
        """Returns the page in the format that *accept*, an ``Accept`` header, prefers, and its media type."""
        _, media_type = choose_encoder(accept)
        async with self._writing:
            at, page = self._pages.get(media_type, (0.0, b""))
            if not page or time.monotonic() - at > FRESH:
                page = await self._written(accept)
                self._pages[media_type] = time.monotonic(), page
        return page, media_type

    async def _written(self, accept: str) -> bytes:
        told = await self._questions.ask()
        own = self._sheet.own()

        def write() -> bytes:
            return written(Page(self._sheet.everything(own), self._channels, told), accept)[0]

        return await asyncio.to_thread(write)
