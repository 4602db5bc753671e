"""Where the bytes of files lie: on disk, or in an object store, under their SHA-256 and so once each."""

from collections.abc import Collection, Iterator
from typing import Protocol

import structlog

from receiver.config import Settings
from receiver.media.bucket import Bucket
from receiver.media.disk import Disk
from receiver.media.links import Links
from receiver.secrets import Secrets

log = structlog.get_logger()

#: bytes of a file to send. Carriers take less; 600 kB is safe everywhere
LARGEST = 5 << 20
#: bytes of a file that somebody sent us
LARGEST_RECEIVED = 10 << 20


class Place(Protocol):
    """Blocking, like all disks: call it in a thread. Everything raises ``OSError``."""

    def put(self, content: bytes) -> bytes:
        """Stores *content* and answers with its SHA-256 once it would survive a loss of power.

        The same content is the same file, so storing it again is harmless.
        """

    def read(self, digest: bytes, start: int = 0, end: int | None = None) -> bytes:
        """The bytes from *start* up to and without *end*. Raises ``FileNotFoundError``."""

    def size(self, digest: bytes) -> int:
        """Raises ``FileNotFoundError``."""

    def remove(self, digest: bytes) -> None:
        """It may be gone already."""

    def old(self, before: float) -> Iterator[list[bytes]]:
        """What was last stored before *before* (seconds since 1970), part by part."""

    def discard(self, digests: Collection[bytes], before: float) -> tuple[int, int]:
        """Removes those that were not stored again since *before*; how many went, and their bytes."""


class Store:
    """A place for files and the *links* that lead to them. Blocking, and with the errors of `Place`."""

    def __init__(self, place: Place, links: Links) -> None:
        self.place, self.links = place, links
        self.put, self.read, self.size = place.put, place.read, place.size

    def remove(self, digest: bytes) -> None:
        """What nothing names any more. If it cannot be had now, the sweep will find it."""
        try:
            self.place.remove(digest)
        except OSError as error:
            log.error("a file is removed later", reason=str(error.strerror or error))


def place_of(settings: Settings) -> Place:
    """Raises ``ConfigError``."""
    return Bucket(settings.media_store) if settings.media_store else Disk(settings.data_dir / "media")


def links_of(settings: Settings, keys: Secrets) -> Links:
    return Links(keys, settings.public_url, settings.media_url_days)


def store_of(settings: Settings, keys: Secrets) -> Store:
    """Raises ``ConfigError``."""
    return Store(place_of(settings), links_of(settings, keys))
