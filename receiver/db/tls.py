"""TLS to the database, as libpq's words have it; the driver reads the files at every connection."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from receiver.db.errors import DatabaseError
from receiver.db.words import SSL_MODES

#: files that the driver takes from here where no word names them
HOME = "~/.postgresql"
SYSTEM = "system"
_WORDS = ("sslcert", "sslkey", "sslrootcert", "sslcrl", "sslnegotiation",
          "ssl_min_protocol_version", "ssl_max_protocol_version")  # fmt: skip
_FILES = ("sslcert", "sslkey", "sslrootcert", "sslcrl")


@dataclass(frozen=True, slots=True)
class Tls:
    """*mode* is one of libpq's six, empty where nothing is said; *words* are the others."""

    mode: str
    words: tuple[tuple[str, str], ...]
    password: str | None = field(repr=False)
    system: bool

    @property
    def verifies(self) -> bool:
        """Whether a server has to show a certificate of a known authority."""
        return self.mode.startswith("verify") or (
            self.mode == "require" and "sslrootcert" in dict(self.words)
        )

    def arguments(self) -> dict[str, Any]:
        """Returns what `asyncpg.connect` takes of it: most words only as part of a URL."""
        if self.system:
            return {"ssl": self._by_system(), "direct_tls": ("sslnegotiation", "direct") in self.words}
        words = [*self.words, *([("sslpassword", self.password)] if self.password else [])]
        return {"dsn": f"postgresql://?{urlencode(words)}", "ssl": self.mode or None}

    def _by_system(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        context.set_alpn_protocols(["postgresql"])
        given = dict(self.words)
        if "sslcert" in given:
            _show(context, {**given, "sslpassword": self.password or ""})
        return context


def of(given: Mapping[str, str]) -> Tls:
    """Returns what libpq's parameters *given* say of TLS. Raises ``DatabaseError``: a word that does not
    exist, a file that cannot be read, words that contradict each other."""
    mode = given.get("sslmode", "").lower()
    system = given.get("sslrootcert", "").lower() == SYSTEM
    if mode and mode not in SSL_MODES:
        raise DatabaseError(
            f"The database's URL has the sslmode {given['sslmode']}; it is one of {', '.join(SSL_MODES)}."
        )
    if given.get("sslnegotiation", "postgres") not in ("postgres", "direct"):
        raise DatabaseError("The database's URL has another sslnegotiation than postgres or direct.")
    if system and mode not in ("", "verify-full"):
        raise DatabaseError(
            f"sslrootcert=system and sslmode={mode} do not go together; take sslmode=verify-full."
        )
    _check_files(given, mode, system=system)
    words = tuple((name, given[name]) for name in _WORDS if given.get(name))
    return Tls("verify-full" if system else mode, words, given.get("sslpassword") or None, system)


def _check_files(given: Mapping[str, str], mode: str, *, system: bool) -> None:
    for name in _FILES:
        path = given.get(name)
        if not path or (name == "sslrootcert" and system):
            continue
        try:
            with Path(path).open("rb"):
                pass
        except OSError as error:
            raise DatabaseError(f"The file of {name}, {path}, cannot be read: {error.strerror}.") from None
    if mode in ("verify-ca", "verify-full") and not given.get("sslrootcert") and not system:
        home = Path(HOME, "root.crt").expanduser()
        if not home.exists():
            raise DatabaseError(
                f"sslmode={mode} needs an authority: name its file as sslrootcert, or put it at {home}; "
                "sslrootcert=system takes those of this machine."
            )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        if given.get("sslrootcert") and not system:
            context.load_verify_locations(cafile=given["sslrootcert"])
        if given.get("sslcert"):
            _show(context, given)
    except ssl.SSLError as error:
        named = "sslcert and sslkey" if given.get("sslcert") else "sslrootcert"
        raise DatabaseError(f"The files of {named} are not usable: {error.reason or error}.") from None


def _show(context: ssl.SSLContext, given: Mapping[str, str]) -> None:
    """Loads our certificate into *context*, with libpq's own place for a key that is not named."""
    home, password = Path(HOME, "postgresql.key").expanduser(), given.get("sslpassword") or ""
    key = given.get("sslkey") or (str(home) if home.exists() else None)
    context.load_cert_chain(given["sslcert"], key, lambda: password)
