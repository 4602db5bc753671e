"""One look at all numbers."""

import asyncio
from collections.abc import Collection

from receiver.metrics.page import Page, written
from receiver.metrics.questions import Questions
from receiver.metrics.sheet import Sheet


class Scrape:
    """What the processes counted, what their gauges say, and what the database tells."""

    def __init__(self, sheet: Sheet, questions: Questions, channels: Collection[str]) -> None:
        self._sheet, self._questions, self._channels = sheet, questions, channels

    async def __call__(self, accept: str) -> tuple[bytes, str]:
        """The page in the format that *accept*, an ``Accept`` header, prefers, and its media type."""
        told = await self._questions.ask()
        own = self._sheet.own()

        def write() -> tuple[bytes, str]:
            return written(Page(self._sheet.everything(own), self._channels, told), accept)

        return await asyncio.to_thread(write)
