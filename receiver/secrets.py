"""What is derived from ``secret_key``: hashes that nobody can make or test without it, and encryption.

The first key makes, every listed one is accepted: a new key is put first, the old one stays listed until
everything made with it is gone.
"""

import hmac
import os
import secrets
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel import select

from models import SecretKeyCheck
from receiver.config import ConfigError, Settings, check_secret_keys

FILE = "secret_key"
#: bytes, as AES-GCM wants them: never twice under one key
_NONCE = 12


class Undecryptable(Exception):
    """Encrypted under a key that is no longer listed in ``secret_key``."""


class Secrets:
    """The keys, in the order of the setting; *opt_out_keys* find opt-outs of erased people and no more."""

    def __init__(self, keys: Sequence[str], opt_out_keys: Sequence[str] = ()) -> None:
        check_secret_keys(keys)
        self._keys = tuple(key.encode() for key in keys)
        self._opt_out_keys = tuple(key.encode() for key in opt_out_keys)

    def keyed_hash(self, purpose: str, value: bytes) -> bytes:
        """32 bytes (HMAC-SHA-256). *purpose* keeps hashes of one kind from being taken for another."""
        return _keyed_hash(self._keys[0], purpose, value)

    def keyed_hashes(self, purpose: str, value: bytes) -> list[bytes]:
        """The same under every key, the first one's first: for looking up what an older key may have made."""
        return [_keyed_hash(key, purpose, value) for key in self._keys]

    def contact_hashes(self, value: bytes) -> list[bytes]:
        """Returns what stands for the erased number *value* under every key, those for opt-outs included."""
        return [_keyed_hash(key, "contact", value) for key in (*self._keys, *self._opt_out_keys)]

    def knows(self, fingerprint: bytes) -> bool:
        """Returns whether *fingerprint* is that of a key here, one for opt-outs included."""
        known = [_fingerprint(key) for key in (*self._keys, *self._opt_out_keys)]
        return any(hmac.compare_digest(fingerprint, one) for one in known)

    def matches(self, purpose: str, value: bytes, digest: bytes) -> bool:
        """Whether *digest* was made of *value* under any key; constant time in *value*."""
        return any(hmac.compare_digest(_keyed_hash(key, purpose, value), digest) for key in self._keys)

    def encrypt(self, purpose: str, value: bytes) -> bytes:
        """*value* under the first key (AES-256-GCM); only `decrypt` for the same *purpose* reads it."""
        nonce = secrets.token_bytes(_NONCE)
        return nonce + _cipher(self._keys[0]).encrypt(nonce, value, purpose.encode())

    def decrypt(self, purpose: str, value: bytes) -> bytes:
        """What `encrypt` was given, under any key. Raises ``Undecryptable``."""
        for key in self._keys:
            with suppress(InvalidTag):
                return _cipher(key).decrypt(value[:_NONCE], value[_NONCE:], purpose.encode())
        raise Undecryptable("it was encrypted under a key that secret_key no longer lists")

    def renewed(self, purpose: str, value: bytes) -> bytes | None:
        """Returns under the first key what `encrypt` has made under another one; None where it is that one.

        Raises ``Undecryptable``.
        """
        with suppress(InvalidTag):
            _cipher(self._keys[0]).decrypt(value[:_NONCE], value[_NONCE:], purpose.encode())
            return None
        return self.encrypt(purpose, self.decrypt(purpose, value))

    @property
    def fingerprint(self) -> bytes:
        """Returns the mark of the first key in `SecretKeyCheck`."""
        return _fingerprint(self._keys[0])

    async def check(self, engine: AsyncEngine) -> None:
        """Raises ``ConfigError`` where none of the keys has ever been used with this database.

        A database that knows no key learns the first one; so does one that knows another of them.
        """
        prints = [_fingerprint(key) for key in self._keys]
        async with engine.begin() as connection:
            known = set((await connection.scalars(select(SecretKeyCheck.fingerprint))).all())
            if known and known.isdisjoint(prints):
                raise ConfigError(
                    "secret_key is not the one that this database was used with; put the right one back, or "
                    "list it after the new one."
                )
            await connection.execute(
                insert(SecretKeyCheck).values(fingerprint=prints[0]).on_conflict_do_nothing()
            )


def make() -> str:
    """Returns a new secret key: 43 letters, digits, ``-`` and ``_``, made of 32 random bytes."""
    return secrets.token_urlsafe(32)


def load(settings: Settings) -> Secrets:
    """The keys of *settings*. Raises ``ConfigError``."""
    return Secrets(configured(settings), settings.opt_out_keys)


def configured(settings: Settings) -> list[str]:
    """The configured keys, or the one that is made once beside the embedded database.

    Raises ``ConfigError``.
    """
    if settings.secret_key:
        return settings.secret_key
    if not settings.embedded:
        raise ConfigError(
            "secret_key is required with database_url; make one with: postback secrets key, and keep it."
        )
    return [_kept(settings.data_dir / FILE)]


def _kept(path: Path) -> str:
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            _make(path)
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"The secret key at {path} cannot be read or made: {error}.") from None


def _make(path: Path) -> None:
    """Whole or not at all, and never twice: several processes may start at once."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(make() + "\n")
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            path.hardlink_to(draft)
    finally:
        draft.unlink()


def _keyed_hash(key: bytes, purpose: str, value: bytes) -> bytes:
    return hmac.digest(key, purpose.encode() + b"\0" + value, "sha256")


def _fingerprint(key: bytes) -> bytes:
    return _keyed_hash(key, "fingerprint", b"postback")


def _cipher(key: bytes) -> AESGCM:
    return AESGCM(_keyed_hash(key, "encryption", b""))
