"""Work of a command in parts: a bar for people on standard error, and an orderly stop between two parts."""

import asyncio
import signal
from collections.abc import AsyncIterator
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Part = TypeVar("Part")


def bar() -> Progress:
    """Returns a bar that goes when the work is done, and that only a terminal shows."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    return Progress(*columns, console=Console(stderr=True), transient=True)


async def until_stopped(parts: AsyncIterator[Part]) -> AsyncIterator[Part]:
    """*parts* until SIGINT or SIGTERM, which let the one that is being worked on come to its end."""
    stop = asyncio.Event()
    for sent in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(sent, stop.set)
    async for part in parts:
        yield part
        if stop.is_set():
            return
