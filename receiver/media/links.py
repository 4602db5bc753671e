"""Addresses of files: nobody makes one without the secret key, and whoever has one needs no other key.

An address holds until when it opens its file: ``/media/{id}/{seconds since 1970}.{signature}/{name}``.
Answers have it made anew, so what is stored of one tells where a file lies and opens nothing for long. An
address without an end is ``/media/{id}/{signature}/{name}``: carriers keep templates, and may fetch their
files for as long as those are used. Versions before this one gave out no others.
"""

import math
import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from receiver.media.sniff import CONTENT_TYPES
from receiver.secrets import Secrets

PREFIX = "/media/"
#: how long a carrier may take to fetch a file of a send: 3 days are the longest expiry, and it may retry
FOR_CARRIERS = timedelta(days=7)
#: how far ahead a send may be put off at its carrier, as far as its files' addresses go
LONGEST_AHEAD = timedelta(days=366)
#: addresses that are made within this time are the same, and stay in caches
STEP = timedelta(hours=1)
_LASTING, _ENDING = "media", "media until"
_LONGEST_STEM = 64
_SEAL = re.compile(r"(?:([0-9]{1,12})\.)?([0-9a-f]{64})")
_OURS = re.compile(
    r"(?P<base>https?://[^/]+(?:/.*)?|)/media/(?P<id>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/(?P<seal>[^/]+)/(?P<name>[^/]+)"
)


@dataclass(frozen=True, slots=True)
class Seal:
    """The end that a genuine address names: *until*, in seconds since 1970, None where it has none."""

    until: int | None

    @property
    def left(self) -> float:
        """Seconds that the address opens its file from now on; at most 0 once it does not."""
        return math.inf if self.until is None else self.until - time.time()


class Links:
    """Addresses signed with ``secret_key``, under ``public_url`` where that is set; they open for *days*."""

    def __init__(self, secrets: Secrets, public_url: str, days: int) -> None:
        self._secrets = secrets
        self.public_url = public_url.rstrip("/")
        self.lifetime = timedelta(days=days)

    def to(self, file_id: UUID, name: str, base: str = "", *, until: datetime | None = None) -> str:
        """Returns the file's address under ``public_url``, else under *base*, else without a host. It ends up
        to an hour after `lifetime` from now, and not before *until*."""
        ends = max(time.time() + self.lifetime.total_seconds(), until.timestamp() if until else 0.0)
        step = STEP.total_seconds()
        seconds = int(math.ceil(ends / step) * step)
        seal = self._secrets.keyed_hash(_ENDING, _signed(file_id, name, seconds)).hex()
        return self._address(file_id, f"{seconds}.{seal}", name, base)

    def lasting(self, file_id: UUID, name: str, base: str = "") -> str:
        """Returns an address without an end, which opens for as long as a template names the file."""
        seal = self._secrets.keyed_hash(_LASTING, _signed(file_id, name)).hex()
        return self._address(file_id, seal, name, base)

    def anew(self, file_id: UUID | str, url: str, base: str = "") -> str:
        """Returns *url* as `to` makes it now where it is an address of the file *file_id*, else as it is.

        The id has to be known from elsewhere: whoever names an address as that of a file shall not renew it.
        """
        found = _OURS.fullmatch(url)
        if found is None or found["id"] != str(file_id):
            return url
        return self.to(UUID(found["id"]), found["name"], base)

    def for_carrier(self, file_id: UUID, url: str, until: datetime) -> str:
        """Returns *url*, an address of the file *file_id*, as a carrier can use it that sends at *until*.
        Without a ``public_url`` it stays under the host that it has."""
        found = _OURS.fullmatch(url)
        last = min(until, datetime.now(UTC) + LONGEST_AHEAD) + FOR_CARRIERS
        return self.to(file_id, found["name"], found["base"], until=last) if found else url

    def of_template(self, url: str, base: str = "") -> str:
        """Returns *url* as `to` makes it now, where it is one that `lasting` made; any other as it stands."""
        found = _OURS.fullmatch(url)
        seal = found and self.seal(UUID(found["id"]), found["seal"], found["name"])
        return (
            self.to(UUID(found["id"]), found["name"], base) if found and seal and seal.until is None else url
        )

    def seal(self, file_id: UUID, given: str, name: str) -> Seal | None:
        """Returns what *given*, from an address, says; None where none of our keys signed it. Constant time
        in the signature."""
        found = _SEAL.fullmatch(given)
        if found is None:
            return None
        until, signature = int(found[1]) if found[1] else None, bytes.fromhex(found[2])
        purpose = _LASTING if until is None else _ENDING
        genuine = self._secrets.matches(purpose, _signed(file_id, name, until), signature)
        return Seal(until) if genuine else None

    def _address(self, file_id: UUID, seal: str, name: str, base: str) -> str:
        return f"{self.public_url or base.rstrip('/')}{PREFIX}{file_id}/{seal}/{name}"


def file_name(given: str | None, content_type: str) -> str:
    """A name that is safe in a URL and a header, with the extension of *content_type*: carriers tell a type
    by it."""
    last = re.split(r"[/\\]", given or "")[-1]
    stem = re.sub(r"[^A-Za-z0-9_-]+", "-", last.rpartition(".")[0] or last).strip("-")[:_LONGEST_STEM]
    return f"{stem or 'file'}.{CONTENT_TYPES.get(content_type, 'bin')}"


def _signed(file_id: UUID, name: str, until: int | None = None) -> bytes:
    # what a path holds may be no Unicode at all
    end = "" if until is None else f"/{until}"
    return f"{file_id}/{name}{end}".encode("utf-8", "surrogateescape")
