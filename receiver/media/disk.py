"""Files on disk, by their content: ``<data_dir>/media/ab/cdef…`` is the file whose SHA-256 is ``abcdef…``."""

import os
import secrets
from collections.abc import Collection, Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

_ASIDE = ".unused"


class Disk:
    """A `Place` in a directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def put(self, content: bytes) -> bytes:
        digest = sha256(content).digest()
        path = self.path(digest)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            os.utime(path)  # what lies long without a row is swept
        except FileNotFoundError:
            _write(path, content)
        # of a file that was there, too: another process may have renamed it into place just now
        for directory in (path.parent, self._directory):
            _sync(directory)
        return digest

    def read(self, digest: bytes, start: int = 0, end: int | None = None) -> bytes:
        with self.path(digest).open("rb") as file:
            file.seek(start)
            return file.read(-1 if end is None else end - start)

    def size(self, digest: bytes) -> int:
        return self.path(digest).stat().st_size

    def remove(self, digest: bytes) -> None:
        self.path(digest).unlink(missing_ok=True)

    def path(self, digest: bytes) -> Path:
        name = digest.hex()
        return self._directory / name[:2] / name[2:]

    def old(self, before: float) -> Iterator[list[bytes]]:
        """What an interrupted write or sweep left behind is cleared up."""
        for directory in sorted(self._directory.glob("??")):
            yield [digest for entry in os.scandir(directory) if (digest := _old(directory, entry, before))]

    def discard(self, digests: Collection[bytes], before: float) -> tuple[int, int]:
        sizes = [_discarded(self.path(digest), before) for digest in digests]
        gone = [size for size in sizes if size is not None]
        return len(gone), sum(gone)


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.rename(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _old(directory: Path, entry: "os.DirEntry[str]", before: float) -> bytes | None:
    with suppress(FileNotFoundError):
        if entry.stat(follow_symlinks=False).st_mtime >= before:
            return None
        path = Path(entry.path)
        if entry.name.endswith(_ASIDE):
            _put_back(path)
        elif entry.name.startswith("."):
            path.unlink()
        else:
            with suppress(ValueError):
                return bytes.fromhex(directory.name + entry.name)
    return None


def _discarded(path: Path, before: float) -> int | None:
    """The size of what is gone now."""
    # Set aside first: one that is stored again just now is then either seen to be new, or written anew.
    aside = path.with_name(f".{path.name}{_ASIDE}")
    with suppress(FileNotFoundError):
        path.rename(aside)
        stat = aside.stat()
        if stat.st_mtime >= before:
            _put_back(aside)
            return None
        aside.unlink()
        return stat.st_size
    return None


def _put_back(aside: Path) -> None:
    path = aside.with_name(aside.name.removeprefix(".").removesuffix(_ASIDE))
    with suppress(FileExistsError):
        path.hardlink_to(aside)
    aside.unlink()
