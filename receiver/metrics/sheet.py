"""The processes of one data directory add up: each keeps its numbers in a file of its own, and whoever is
asked reads them all.

A living process holds a lock on its file. What a dead one counted is added to ``ended.json``, so counters go
on over restarts; its gauges go with it.
"""

import asyncio
import fcntl
import os
import secrets
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeAlias

import orjson
import structlog

from receiver.metrics.definitions import INSTRUMENTS, PROCESSES
from receiver.metrics.instruments import Gauge, Values

log = structlog.get_logger()

#: seconds between two writings: as much as a process that is killed may have counted and not told
EVERY = 1.0
_ENDED, _LOCK = "ended.json", "lock"

Numbers: TypeAlias = dict[str, Values]

#: directories that this process already writes its numbers to
_written: set[Path] = set()


class Sheet:
    """What one process of *kind* has counted since `open`. Where its directory cannot be used, the numbers
    of this process alone are told."""

    def __init__(self, data_dir: Path, kind: str) -> None:
        self._directory, self._kind = data_dir.absolute() / "metrics", kind
        self._path = self._directory / f"{kind}-{os.getpid()}-{secrets.token_hex(4)}.json"
        self._lock: int | None = None
        self._before: Numbers = {}
        self._last, self._said = b"", ""
        #: a second sheet of one process in one directory tells its kind, and nothing twice
        self._first = True

    def open(self) -> None:
        self._before = _counted()
        try:
            self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            with self._alone():
                self._lock = os.open(self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
                fcntl.flock(self._lock, fcntl.LOCK_EX)
                self._first = self._directory not in _written
                _written.add(self._directory)
                self.write()
        except OSError as error:
            self._unusable(error)
            self._let_go()

    def write(self) -> None:
        """Where that fails, for a full disk, the next one tells it all."""
        if self._lock is None:
            return
        content = _content(self._kind, self.own())
        if content == self._last:
            return
        try:
            _replace(self._path, content)
            self._last, self._said = content, ""
        except OSError as error:
            self._unusable(error)

    def close(self) -> None:
        self.write()
        self._let_go()

    def own(self) -> Numbers:
        """What this process has counted."""
        if not self._first:
            return {}
        now = {name: instrument.values() for name, instrument in INSTRUMENTS.items()}
        for name, before in self._before.items():
            for labels, numbers in before.items():
                now[name][labels] = [
                    one - other for one, other in zip(now[name][labels], numbers, strict=True)
                ]
        return now

    def everything(self, own: Numbers) -> Numbers:
        """*own* and what all other processes have counted, dead ones included. Reads files: call it beside
        the event loop."""
        total: Numbers = {name: {} for name in INSTRUMENTS}
        kinds = [self._kind]
        if self._lock is not None:
            try:
                with self._alone():
                    kinds += self._others(total)
            except OSError as error:
                self._unusable(error)
        _add(total, own)
        for kind in kinds:
            PROCESSES.merge(total[PROCESSES.name], {(kind,): [1.0]})
        return total

    def _others(self, total: Numbers) -> list[str]:
        """Adds them to *total*; the kinds of those that live."""
        kinds: list[str] = []
        ended, included = _read_ended(self._directory / _ENDED)
        gone: list[Path] = []
        for path in sorted(self._directory.glob("*-*.json"), key=lambda path: path.name):
            if path == self._path:
                continue
            kind, numbers = _read(path)
            if _lives(path):
                kinds.append(kind)
                _add(total, numbers)
            else:
                gone.append(path)
                if path.name not in included:
                    _add(ended, numbers, gauges=False)
        if gone:
            # the names stand with the sums, so that whoever dies in the middle of this adds nothing twice
            _replace(self._directory / _ENDED, _content("ended", ended, [path.name for path in gone]))
            for path in gone:
                path.unlink(missing_ok=True)
                path.with_suffix(".lock").unlink(missing_ok=True)
        _add(total, ended, gauges=False)
        return kinds

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Nobody else begins, or adds up, meanwhile."""
        descriptor = os.open(self._directory / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _unusable(self, error: OSError) -> None:
        said = error.strerror or type(error).__name__
        if said != self._said:
            log.warning("metrics cannot be shared with other processes", reason=said)
            self._said = said

    def _let_go(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
            if self._first:
                _written.discard(self._directory)


@asynccontextmanager
async def recording(sheet: Sheet) -> AsyncIterator[None]:
    """Keeps *sheet* up to date for as long as it lasts."""

    async def write() -> None:
        while True:
            await asyncio.sleep(EVERY)
            sheet.write()

    sheet.open()
    writing = asyncio.create_task(write())
    try:
        yield
    finally:
        writing.cancel()
        with suppress(asyncio.CancelledError):
            await writing
        sheet.close()


def _counted() -> Numbers:
    """Without gauges: those are states, and nothing is taken from them."""
    return {
        name: instrument.values()
        for name, instrument in INSTRUMENTS.items()
        if not isinstance(instrument, Gauge)
    }


def _add(total: Numbers, more: Mapping[str, Values], *, gauges: bool = True) -> None:
    for name, values in more.items():
        instrument = INSTRUMENTS.get(name)  # one of another version may be unknown
        if instrument is not None and (gauges or not isinstance(instrument, Gauge)):
            instrument.merge(total.setdefault(name, {}), values)


def _lives(path: Path) -> bool:
    try:
        descriptor = os.open(path.with_suffix(".lock"), os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _content(kind: str, numbers: Numbers, included: list[str] | None = None) -> bytes:
    values = {name: [[list(key), row] for key, row in rows.items()] for name, rows in numbers.items() if rows}
    return orjson.dumps({"kind": kind, "included": included or [], "values": values})


def _replace(path: Path, content: bytes) -> None:
    draft = path.with_suffix(".draft")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    draft.replace(path)


def _read(path: Path) -> tuple[str, Numbers]:
    """What cannot be read counts nothing: a machine that lost its power may leave an empty file."""
    kind, numbers, _ = _parsed(path)
    return kind, numbers


def _read_ended(path: Path) -> tuple[Numbers, list[str]]:
    _, numbers, included = _parsed(path)
    return numbers, included


def _parsed(path: Path) -> tuple[str, Numbers, list[str]]:
    try:
        content: dict[str, Any] = orjson.loads(path.read_bytes())
        numbers = {
            name: {tuple(key): [float(number) for number in row] for key, row in rows}
            for name, rows in content["values"].items()
        }
        return content["kind"], numbers, content["included"]
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return "unknown", {}, []
