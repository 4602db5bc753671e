"""A process that works on the database until it is told to stop."""

import asyncio
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from postback import life
from postback.start import checked
from receiver.config import Settings
from receiver.generation import Watch
from receiver.janitor import alongside


def until_stopped(settings: Settings, work: Callable[[asyncio.Event], Coroutine[Any, Any, Any]]) -> None:
    """*work* on a database that is ours, until SIGINT or SIGTERM sets the event that it is given."""
    watch = Watch(settings)

    async def run() -> None:
        await checked(settings)
        stop = asyncio.Event()
        for sent in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(sent, stop.set)
        async with life.shown(), watch.alongside(), alongside(settings):
            await work(stop)

    asyncio.run(run())
    if watch.exit_code:
        sys.exit(watch.exit_code)
