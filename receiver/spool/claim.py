"""Who owns a file of the spool: whoever holds the lock beside it, and nobody once that process is dead."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from uuid_utils import uuid7

SUFFIX = ".sqlite"


def directory(data_dir: Path) -> Path:
    """Where requests wait."""
    return data_dir / "spool"


def answers(data_dir: Path) -> Path:
    """Where what carriers answered to sends waits: whoever adopts a file of the other takes what is in it for
    requests."""
    return data_dir / "answers"


@dataclass(frozen=True, slots=True)
class Claim:
    """A file that is ours until `release`, or until this process ends in whatever way."""

    path: Path
    lock: int

    def release(self) -> None:
        os.close(self.lock)

    def discard(self) -> None:
        """Removes the file, which has to be closed, and gives up the claim."""
        for path in (*parts(self.path), _lock_of(self.path)):
            path.unlink(missing_ok=True)
        self.release()


def parts(path: Path) -> list[Path]:
    """The file itself and what SQLite keeps beside it."""
    return [path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")]


def new(where: Path) -> Claim:
    """A claim on a file that is yet to be made. Raises ``OSError``."""
    made(where)
    path = where / f"{uuid7()}{SUFFIX}"
    lock = _locked(path)
    if lock is None:
        raise FileExistsError(f"{path} is locked by another process")
    return Claim(path, lock)


def made(where: Path) -> None:
    """Makes the directory *where*. SQLite sees to the entries in it, and nobody else to its own: without that
    a loss of power could take all that was promised there. Raises ``OSError``."""
    missing = [path for path in (where, *where.parents) if not path.exists()]
    where.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path in missing:
        descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def free(where: Path) -> Iterator[Claim]:
    """Files that nobody owns, the oldest first; each is claimed when it is asked for. Raises ``OSError``."""
    for path in sorted(where.glob(f"*{SUFFIX}")):
        lock = _locked(path)
        if lock is None:
            continue
        if path.exists():
            yield Claim(path, lock)
        else:  # its owner emptied and removed it a moment ago
            _lock_of(path).unlink(missing_ok=True)
            os.close(lock)


def _locked(path: Path) -> int | None:
    # a file of its own: closing any descriptor of a database drops the locks that SQLite has on it
    name = _lock_of(path)
    descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with suppress(FileNotFoundError):
            if os.fstat(descriptor).st_ino == name.stat().st_ino:
                return descriptor
    except BlockingIOError:
        pass
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)  # somebody else's, or one that was removed between opening and locking
    return None


def _lock_of(path: Path) -> Path:
    return path.with_suffix(".lock")
