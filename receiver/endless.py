"""Runs work that has no end beside the work of a process, and never goes on without it.

A task that died unnoticed would leave a process that looks well and does less. The process ends instead, with
the error in its log, and its supervisor starts it anew.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any


@asynccontextmanager
async def beside(*works: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Runs *works* until the block ends, and cancels them then; waits for them to clean up.

    Raises the error of a work that fails while the block runs; the block is cancelled first. Errors of the
    cleaning up are dropped.
    """
    ending = False

    async def run(work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception:
            if not ending:
                raise

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(run(work)) for work in works]
            try:
                yield
            finally:
                ending = True
                for task in tasks:
                    task.cancel()
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None
    finally:
        for work in works:
            work.close()  # one that was cancelled before it began was never awaited
