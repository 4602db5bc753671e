"""Files on disk, by their content: ``<data_dir>/media/ab/cdef…`` is the file whose SHA-256 is ``abcdef…``."""

import os
import secrets
from hashlib import sha256
from pathlib import Path

from receiver.media.links import Links

#: bytes of one file. Carriers take less (600 kB is safe everywhere); what they bring may be more
LARGEST = 5 << 20


class Store:
    """Blocking, like all disks: call it in a thread. *links* are the addresses of what lies here."""

    def __init__(self, data_dir: Path, links: Links) -> None:
        self._directory = data_dir / "media"
        self.links = links

    def put(self, content: bytes) -> bytes:
        """Stores *content* and answers with its SHA-256 once it would survive a loss of power.

        The same content is the same file, so storing it again is harmless. Raises ``OSError``.
        """
        digest = sha256(content).digest()
        path = self.path(digest)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not path.exists():
            _write(path, content)
        # of a file that was there, too: another process may have renamed it into place just now
        for directory in (path.parent, self._directory):
            _sync(directory)
        return digest

    def read(self, digest: bytes) -> bytes:
        """Raises ``OSError``, ``FileNotFoundError`` where it is not on this machine."""
        return self.path(digest).read_bytes()

    def path(self, digest: bytes) -> Path:
        name = digest.hex()
        return self._directory / name[:2] / name[2:]


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
