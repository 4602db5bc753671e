"""The file of a spool: opened when it is needed, looked after, and given up when it fails."""

import os
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import structlog

from receiver.spool import claim, damage
from receiver.spool.claim import Claim
from receiver.spool.file import Kept, Row, SpoolFile, is_damage

log = structlog.get_logger()

#: what somebody wants done with the file, inside a transaction
Job: TypeAlias = Callable[[SpoolFile], Any]

#: the part of the room that requests without a proof may fill: strangers must not leave carriers without any
UNPROVEN = 0.25
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


class Keeper:
    """One file of *where* at a time: that of *claimed*, else one that nobody owns, else a new one.

    All of it belongs to the spool's thread, but for `figures`, `usable`, `full` and `crowded`.
    """

    def __init__(self, where: Path, claimed: Claim | None, capacity: int, reserve: int) -> None:
        self.where = where
        #: as of the last commit
        self.figures = Figures()
        self._claim = claimed
        self._capacity, self._reserve = capacity, reserve
        self._file: SpoolFile | None = None
        self._failed: str | None = None
        self._retry_at = self._look_at = 0.0
        self._room = self._shrinking = False

    @property
    def usable(self) -> bool:
        """Whether the last record, or the last look, found the file writable and room left."""
        return self._failed is None and self._room

    @property
    def full(self) -> bool:
        """Whether there was no room a moment ago, so that nobody has to look again."""
        return not self._room and self._failed is None and time.monotonic() < self._look_at

    @property
    def crowded(self) -> bool:
        """Whether requests without a proof have had their part."""
        return self.figures.size >= self._capacity * UNPROVEN

    def commit(self, jobs: Sequence[Job]) -> list[Any]:
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

    def add(self, row: Row, file: SpoolFile) -> int:
        """As a job: a record, where there is room for it; answers with its number."""
        if not self._room:
            raise SpoolFull("the spool is full")
        return file.add(row)

    def move_aside(self, kept: Kept, file: SpoolFile) -> None:
        """As a job: a record goes to what is damaged."""
        damage.keep(self.where, kept.record)
        file.delete([kept])
        self.figures = self.figures._replace(damaged=damage.count(self.where))

    def shrink(self, file: SpoolFile) -> None:
        """As a job: nothing is left of what was deleted, though some records stay."""
        file.prove()
        self._shrinking = True

    def let_go(self) -> None:
        """Of the file and of the claim on it."""
        empty = self._file is not None and not self.figures.records
        self._shut()
        claimed, self._claim = self._claim, None
        if claimed and empty:
            claimed.discard()
        elif claimed:
            claimed.release()

    def _written(self, file: SpoolFile, jobs: Sequence[Job]) -> list[Any]:
        answers: list[Any] = []
        self._look()
        file.begin()
        for job in jobs:
            try:
                answers.append(job(file))
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
            self.let_go()
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


def _is_there(path: Path, claimed: Claim | None) -> bool:
    return claimed is not None and path == claimed.path and os.access(path, os.F_OK)
