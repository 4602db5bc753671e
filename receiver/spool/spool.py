"""The spool of one process: many callers share one fsync, in a thread that nobody else has to wait for."""

import asyncio
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from receiver.spool import claim
from receiver.spool.claim import Claim
from receiver.spool.file import Kept, Record, SpoolFile, packed
from receiver.spool.keeper import Figures, Keeper, SpoolError, SpoolFull

Result = TypeVar("Result")

#: bytes that one process keeps
CAPACITY = 1 << 30
#: bytes of the disk that are left to everybody else
RESERVE = 128 << 20
#: jobs that share a commit
_BATCH = 256


@dataclass(slots=True)
class _Job:
    run: Callable[[SpoolFile], Any]
    done: asyncio.Future[Any]


class Spool:
    """The records in one file of *where*: one that nobody owns, else a new one, or the one of *claimed*."""

    def __init__(
        self, where: Path, claimed: Claim | None = None, *, capacity: int = CAPACITY, reserve: int = RESERVE
    ) -> None:
        self.where = where
        self._keeper = Keeper(where, claimed, capacity, reserve)
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    async def open(self) -> None:
        """Takes hold of the file; where that fails it is tried again with the next record."""
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._work, name="spool", daemon=True)
        self._thread.start()
        with suppress(SpoolError):
            await self.check()

    async def close(self) -> None:
        """Writes what is still in hand, then lets go of the file; an empty one is removed."""
        if self._thread:
            self._jobs.put(None)
            await asyncio.to_thread(self._thread.join)
            self._thread = None

    @property
    def figures(self) -> Figures:
        """As of the last commit; from any thread."""
        return self._keeper.figures

    @property
    def usable(self) -> bool:
        """Whether the last record, or the last look, found the file writable and room left."""
        return self._keeper.usable

    async def check(self) -> None:
        """Writes nothing of anybody's, to see whether it could. Raises ``SpoolError``."""
        await self._done(SpoolFile.prove)

    async def put(self, record: Record) -> Kept:
        """Returns when *record* would survive a loss of power. Raises ``SpoolError``."""
        if self._keeper.full:
            raise SpoolFull("the spool is full")
        if not record.authentic and self._keeper.crowded:
            raise SpoolFull("the rest of the spool is for requests that are proven")
        row = packed(record)
        return Kept(await self._done(partial(self._keeper.add, row)), record)

    async def first(self, limit: int, after: int = 0) -> list[Kept]:
        """The oldest records behind number *after*, *limit* at most, in the order of their arrival. Raises
        ``SpoolError``."""
        return await self._done(lambda file: file.first(limit, after))

    async def shrink(self) -> None:
        """Leaves nothing of what was deleted, though some records stay; without those it goes by itself.
        Raises ``SpoolError``."""
        await self._done(self._keeper.shrink)

    async def delete(self, kept: Sequence[Kept]) -> None:
        """Removes what is stored elsewhere now. Raises ``SpoolError``; nothing is lost by that."""
        await self._done(lambda file: file.delete(kept))

    async def set_aside(self, kept: Kept) -> None:
        """Takes out what Postgres refuses in every form, and keeps it among the damaged."""
        await self._done(partial(self._keeper.move_aside, kept))

    async def _done(self, run: Callable[[SpoolFile], Result]) -> Result:
        if self._thread is None:
            raise SpoolError("the spool is closed")
        job = _Job(run, self._loop.create_future())
        self._jobs.put(job)
        result: Result = await job.done
        return result

    # --- in the thread ---------------------------------------------------------------------------------

    def _work(self) -> None:
        for jobs in self._batches():
            try:
                answers = self._keeper.commit([job.run for job in jobs])
            except Exception as error:  # noqa: BLE001 - every failure is answered
                answers = [error] * len(jobs)
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self._loop.call_soon_threadsafe(_answer, jobs, answers)
        self._keeper.let_go()

    def _batches(self) -> Iterator[list[_Job]]:
        ended = False
        while not ended:
            jobs: list[_Job] = []
            job = self._jobs.get()
            while job is not None:
                jobs.append(job)
                if len(jobs) == _BATCH:
                    break
                try:
                    job = self._jobs.get_nowait()
                except queue.Empty:
                    break
            ended = job is None
            if jobs:
                yield jobs


def created(where: Path) -> Spool:
    """A spool with a new file, whatever lies there. Raises ``OSError``."""
    return Spool(where, claim.new(where))


def abandoned(where: Path) -> Iterator[Spool]:
    """Spools whose owners are dead, each ours from the moment on that it is asked for."""
    with suppress(OSError):
        for claimed in claim.free(where):
            yield Spool(where, claimed)


def _answer(jobs: Sequence[_Job], answers: Sequence[Any]) -> None:
    for job, answer in zip(jobs, answers, strict=True):
        if job.done.done():
            continue  # a caller that hung up has cancelled its own
        if isinstance(answer, Exception):
            job.done.set_exception(answer)
        else:
            job.done.set_result(answer)
