"""The spool of one process: many callers share one fsync, in a thread that nobody else has to wait for."""

import asyncio
import os
import queue
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import structlog

from receiver.spool import claim, damage
from receiver.spool.claim import Claim
from receiver.spool.file import Kept, Record, SpoolFile, is_damage, packed

log = structlog.get_logger()

Result = TypeVar("Result")

#: bytes that one process keeps
CAPACITY = 1 << 30
#: bytes of the disk that are left to everybody else
RESERVE = 128 << 20
#: the part of it that requests without a proof may fill: strangers must not leave carriers without room
UNPROVEN = 0.25
#: jobs that share a commit
_BATCH = 256
#: seconds between two tries to open a file that cannot be opened, and between two looks at the disk's room
_RETRY, _LOOK = 1.0, 0.5


class SpoolError(Exception):
    """Nothing can be kept here now."""


class SpoolFull(SpoolError):
    """No room is left: of the spool's own, or on the disk."""


class Figures(NamedTuple):
    """How much waits: *records* in *size* bytes of disk, the *oldest* received then, and the number of
    *damaged* files that were set aside and still lie there."""

    records: int = 0
    size: int = 0
    oldest: datetime | None = None
    damaged: int = 0

    @property
    def age(self) -> float:
        """Seconds since the oldest was received; 0 where nothing waits."""
        return max(0.0, (datetime.now(UTC) - self.oldest).total_seconds()) if self.oldest else 0.0


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
        #: as of the last commit; from any thread
        self.figures = Figures()
        self._claim = claimed
        self._capacity, self._reserve = capacity, reserve
        self._file: SpoolFile | None = None
        self._failed: str | None = None
        self._retry_at = self._look_at = 0.0
        self._room = self._shrinking = False
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
    def usable(self) -> bool:
        """Whether the last record, or the last look, found the file writable and room left."""
        return self._failed is None and self._room

    async def check(self) -> None:
        """Writes nothing of anybody's, to see whether it could. Raises ``SpoolError``."""
        await self._done(SpoolFile.prove)

    async def put(self, record: Record) -> None:
        """Returns when *record* would survive a loss of power. Raises ``SpoolError``."""
        if not self._room and self._failed is None and time.monotonic() < self._look_at:
            raise SpoolFull("the spool is full")
        if not record.authentic and self.figures.size >= self._capacity * UNPROVEN:
            raise SpoolFull("the rest of the spool is for requests that are proven")
        row = packed(record)
        await self._done(partial(self._add, row))

    async def first(self, limit: int, after: int = 0) -> list[Kept]:
        """The oldest records behind number *after*, *limit* at most, in the order of their arrival. Raises
        ``SpoolError``."""
        return await self._done(lambda file: file.first(limit, after))

    async def shrink(self) -> None:
        """Leaves nothing of what was deleted, though some records stay; without those it goes by itself.
        Raises ``SpoolError``."""
        self._shrinking = True
        await self.check()

    async def delete(self, kept: Sequence[Kept]) -> None:
        """Removes what is stored elsewhere now. Raises ``SpoolError``; nothing is lost by that."""
        await self._done(lambda file: file.delete(kept))

    async def set_aside(self, kept: Kept) -> None:
        """Takes out what Postgres refuses in every form, and keeps it among the damaged."""
        await self._done(partial(self._move_aside, kept))

    def _move_aside(self, kept: Kept, file: SpoolFile) -> None:
        damage.keep(self.where, kept.record)
        file.delete([kept])
        self.figures = self.figures._replace(damaged=damage.count(self.where))

    def _add(self, row: tuple[Any, ...], file: SpoolFile) -> None:
        if not self._room:
            raise SpoolFull("the spool is full")
        file.add(row)

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
                answers = self._commit(jobs)
            except Exception as error:  # noqa: BLE001 - every failure is answered
                answers = [error] * len(jobs)
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self._loop.call_soon_threadsafe(_answer, jobs, answers)
        self._let_go()

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

    def _commit(self, jobs: Sequence[_Job]) -> list[Any]:
        """All of *jobs* in one transaction; an answer, or an exception, for each. Raises ``SpoolError``."""
        try:
            try:
                return self._written(self._opened(), jobs)
            except Exception as error:
                if not is_damage(error):
                    raise
                self._rescue(error)
                return self._written(self._opened(), jobs)
        except SpoolError:
            raise
        except Exception as error:
            self._fail(error)
            raise SpoolError(f"{type(error).__name__}: {error}") from error

    def _written(self, file: SpoolFile, jobs: Sequence[_Job]) -> list[Any]:
        answers: list[Any] = []
        self._look()
        file.begin()
        for job in jobs:
            try:
                answers.append(job.run(file))
            except SpoolFull as full:
                answers.append(full)
        file.commit()
        if self._shrinking or (self.figures.records and not file.records):
            self._shrinking = False
            file.shrink()
        self.figures = Figures(file.records, file.size(), file.oldest(), self.figures.damaged)
        if self._failed is not None:
            log.warning("the spool is usable again", after=self._failed)
        self._failed = None
        return answers

    def _opened(self) -> SpoolFile:
        if self._file and not _is_there(self._file.path, self._claim):
            log.error("the spool's file was removed from under us", path=str(self._file.path))
            self._let_go()
        if self._file is None:
            if time.monotonic() < self._retry_at:
                raise SpoolError(self._failed or "the spool cannot be opened")
            if self._claim is None:
                self._claim = next(claim.free(self.where), None) or claim.new(self.where)
            self._file = damage.opened(self._claim.path)
            self._file.count()
            damaged = damage.count(self.where)
            self.figures = Figures(self._file.records, self._file.size(), self._file.oldest(), damaged)
        return self._file

    def _look(self) -> None:
        now = time.monotonic()
        if now >= self._look_at or self.figures.size >= self._capacity:
            self._look_at = now + _LOOK
            spare = shutil.disk_usage(self.where).free
            self._room = spare > self._reserve and self.figures.size < self._capacity

    def _fail(self, error: Exception) -> None:
        if self._failed is None:
            log.error("the spool cannot be used", reason=f"{type(error).__name__}: {error}")
        self._failed = str(error)
        self._retry_at = time.monotonic() + _RETRY
        self._shut()

    def _rescue(self, error: Exception) -> None:
        self._shut()
        if self._claim is not None:
            self._claim = damage.rescue(self._claim, str(error))
            self.figures = self.figures._replace(damaged=damage.count(self.where))

    def _shut(self) -> None:
        file, self._file = self._file, None
        if file:
            with suppress(Exception):
                file.close()

    def _let_go(self) -> None:
        """Of the file and of the claim on it."""
        empty = self._file is not None and not self.figures.records
        self._shut()
        claimed, self._claim = self._claim, None
        if claimed and empty:
            claimed.discard()
        elif claimed:
            claimed.release()


def abandoned(where: Path) -> Iterator[Spool]:
    """Spools whose owners are dead, each ours from the moment on that it is asked for."""
    with suppress(OSError):
        for claimed in claim.free(where):
            yield Spool(where, claimed)


def _is_there(path: Path, claimed: Claim | None) -> bool:
    return claimed is not None and path == claimed.path and os.access(path, os.F_OK)


def _answer(jobs: Sequence[_Job], answers: Sequence[Any]) -> None:
    for job, answer in zip(jobs, answers, strict=True):
        if job.done.done():
            continue  # a caller that hung up has cancelled its own
        if isinstance(answer, Exception):
            job.done.set_exception(answer)
        else:
            job.done.set_result(answer)
