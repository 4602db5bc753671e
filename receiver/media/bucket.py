"""Files in an object store, under the same names as on disk: ``ab/cdef…``.

obstore is an optional extra. What it calls by errors of its own becomes ``OSError`` here, as disks have it.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from receiver import masking
from receiver.config import ConfigError

if TYPE_CHECKING:
    from obstore.store import ObjectStore

#: what ``media_store`` may begin with
SCHEMES = ("s3", "gs", "az", "file", "memory")
#: A carrier waits while a file that came inside its callback is stored, so the library's own patience of
#: minutes is too much.
_CALL, _NO_MORE_TRIES_AFTER, _RETRIES = timedelta(seconds=8), timedelta(seconds=5), 2


class Bucket:
    """A `Place` in an object store, which is asked over the network. Raises ``ConfigError``."""

    def __init__(self, url: str) -> None:
        if url.partition("://")[0] not in SCHEMES:
            known = ", ".join(f"{scheme}://" for scheme in SCHEMES)
            raise ConfigError(f"media_store has to begin with one of {known}; write it so.")
        try:
            import obstore
            from obstore.exceptions import BaseError
        except ImportError:
            raise ConfigError(
                f"media_store is {masking.url(url)}, and the library for object stores is not installed; "
                "run: pip install 'postback[objects]'"
            ) from None
        self._api, self._error = obstore, BaseError
        try:
            self._store = _opened(url)
        except (BaseError, OSError, ValueError) as error:
            said = masking.about_url(_first_line(error), url)
            raise ConfigError(f"media_store cannot be used: {said}; it is {masking.url(url)}.") from None

    def put(self, content: bytes) -> bytes:
        """Written again where it is there already, or a sweep would take it for old."""
        digest = sha256(content).digest()
        with self._failures():
            self._api.put(self._store, _name(digest), content)
        return digest

    def read(self, digest: bytes, start: int = 0, end: int | None = None) -> bytes:
        with self._failures():
            if end is None:
                return bytes(self._api.get(self._store, _name(digest)).bytes())[start:]
            return bytes(self._api.get_range(self._store, _name(digest), start=start, end=end))

    def size(self, digest: bytes) -> int:
        with self._failures():
            return self._api.head(self._store, _name(digest))["size"]

    def remove(self, digest: bytes) -> None:
        with self._failures():
            self._delete(_name(digest))

    def old(self, before: float) -> Iterator[list[bytes]]:
        with self._failures():
            for chunk in self._api.list(self._store):
                names = [item["path"] for item in chunk if item["last_modified"].timestamp() < before]
                yield [digest for name in names if (digest := _digest(name))]

    def discard(self, digests: Collection[bytes], before: float) -> tuple[int, int]:
        files = size = 0
        with self._failures():
            for digest in digests:
                try:
                    found = self._api.head(self._store, _name(digest))
                except FileNotFoundError:
                    continue
                if found["last_modified"].timestamp() < before:  # not stored again since the look
                    self._delete(_name(digest))
                    files, size = files + 1, size + found["size"]
        return files, size

    def _delete(self, name: str) -> None:
        try:
            self._api.delete(self._store, name)
        except FileNotFoundError:
            return  # most object stores say nothing here

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except self._error as error:
            raise OSError(None, _first_line(error)) from error


def _opened(url: str) -> "ObjectStore":
    from obstore import store

    parts = urlsplit(url)
    if parts.scheme == "memory":
        return store.MemoryStore()
    if parts.scheme == "file":
        return store.LocalStore(Path(unquote(parts.path)), mkdir=True)
    return store.from_url(
        url,
        # the endpoint is the operator's word, as carriers' addresses are: http is fine where it says so
        client_options={"timeout": _CALL, "connect_timeout": _CALL, "allow_http": True},
        retry_config={"max_retries": _RETRIES, "retry_timeout": _NO_MORE_TRIES_AFTER},
    )


def _name(digest: bytes) -> str:
    name = digest.hex()
    return f"{name[:2]}/{name[2:]}"


def _digest(name: str) -> bytes | None:
    """None for what is none of ours."""
    try:
        digest = bytes.fromhex(name.replace("/", "", 1))
    except ValueError:
        return None
    return digest if len(digest) == 32 and _name(digest) == name else None


def _first_line(error: Exception) -> str:
    """Under it stand pages for the library's own authors."""
    return (str(error).splitlines() or [type(error).__name__])[0]
