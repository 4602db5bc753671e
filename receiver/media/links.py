"""Addresses of files: nobody makes one without the secret key, and whoever has one needs no other key."""

import re
from uuid import UUID

from receiver.media.sniff import CONTENT_TYPES
from receiver.secrets import Secrets

PREFIX = "/media/"
_PURPOSE = "media"
_LONGEST_STEM = 64


class Links:
    """``/media/{id}/{signature}/{name}``, signed with ``secret_key``."""

    def __init__(self, secrets: Secrets, public_url: str) -> None:
        self._secrets = secrets
        self.public_url = public_url.rstrip("/")

    def to(self, file_id: UUID, name: str, base: str = "") -> str:
        """The file's address under ``public_url``, where that is not set under *base*."""
        signature = self._secrets.keyed_hash(_PURPOSE, _signed(file_id, name)).hex()
        return f"{self.public_url or base.rstrip('/')}{PREFIX}{file_id}/{signature}/{name}"

    def authentic(self, file_id: UUID, signature: str, name: str) -> bool:
        """Whether `to` made this address; constant time in the signature."""
        given = bytes.fromhex(signature) if re.fullmatch("[0-9a-f]{64}", signature) else b""
        return self._secrets.matches(_PURPOSE, _signed(file_id, name), given)


def file_name(given: str | None, content_type: str) -> str:
    """A name that is safe in a URL and a header, with the extension of *content_type*: carriers tell a type
    by it."""
    last = re.split(r"[/\\]", given or "")[-1]
    stem = re.sub(r"[^A-Za-z0-9_-]+", "-", last.rpartition(".")[0] or last).strip("-")[:_LONGEST_STEM]
    return f"{stem or 'file'}.{CONTENT_TYPES.get(content_type, 'bin')}"


def _signed(file_id: UUID, name: str) -> bytes:
    # what a path holds may be no Unicode at all
    return f"{file_id}/{name}".encode("utf-8", "surrogateescape")
