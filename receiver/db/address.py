"""Where a database is and how it is spoken to: a URL, the environment and a service file, read once."""

import configparser
import os
import re
import shlex
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from receiver.db import tls
from receiver.db.errors import DatabaseError
from receiver.db.uri import CUT, is_perhaps_cut, parameters
from receiver.db.words import ATTRS, ONLY, VARIABLES

#: seconds for one host to accept a connection, where ``connect_timeout`` says nothing
CONNECT_TIMEOUT = 10.0
DEFAULT_PORT = "5432"
APPLICATION = "postback"
#: what `Address.prepares` says where the URL does not
UNKNOWN = None

_KEEPALIVES = {
    "keepalives_idle": (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
    "keepalives_interval": (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL),
    "keepalives_count": (socket.IPPROTO_TCP, socket.TCP_KEEPCNT),
    "tcp_user_timeout": (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT),
}
_CHANNEL_BINDING = (
    "channel_binding=require is not done by the driver, and the connection goes on without it; "
    "sslmode=verify-full&sslrootcert=system keeps out who is in between"
)


@dataclass(frozen=True, slots=True)
class Address:
    """*hosts* with their ports, in the order of trying; None is the local socket, wherever that is.
    *prepares* tells whether prepared statements outlive their transaction: False behind a pooler in
    transaction mode, None where nobody has said. *notes* are sentences on what is done otherwise than the
    URL asks."""

    hosts: tuple[tuple[str | None, int], ...]
    user: str | None
    password: str | None = field(repr=False)
    database: str | None
    passfile: str | None
    tls: tls.Tls
    settings: Mapping[str, str] = field(hash=False)
    attrs: str
    connect_timeout: float
    socket_options: tuple[tuple[int, int, int], ...]
    shuffled: bool
    prepares: bool | None
    notes: tuple[str, ...]
    kerberos: Mapping[str, str] = field(hash=False)

    def arguments(self) -> dict[str, Any]:
        """Returns what `asyncpg.connect` takes, but for the host and the server's settings."""
        named = {"user": self.user, "password": self.password, "database": self.database}
        return {**named, "passfile": self.passfile, **self.tls.arguments(), **self.kerberos}

    def secrets(self) -> Iterator[str]:
        """Yields what no log may show."""
        yield from filter(None, (self.password, self.tls.password))


def address(database_url: str) -> Address:
    """Returns what *database_url* says, together with libpq's variables. Raises ``DatabaseError``."""
    environment = {
        name: os.environ[variable] for name, variable in VARIABLES.items() if variable in os.environ
    }
    return _read(database_url, tuple(environment.items()))


@lru_cache(maxsize=64)
def _read(database_url: str, environment: tuple[tuple[str, str], ...]) -> Address:
    try:
        return _of(parameters(database_url), environment)
    except DatabaseError:
        if is_perhaps_cut(database_url):  # then what is wrong may be a piece of the password
            raise DatabaseError(CUT) from None
        raise


def _of(given: dict[str, str], environment: tuple[tuple[str, str], ...]) -> Address:
    """Raises ``DatabaseError``."""
    if "hostaddr" in given and not given.get("host"):
        given["host"] = given.pop("hostaddr")
    service = given.get("service") or dict(environment).get("service")
    given = {**dict(environment), **(_service(service) if service else {}), **given}
    if given.get("hostaddr"):
        raise DatabaseError(
            "The database's URL has host and hostaddr, and the driver takes one of them; keep host."
        )
    for name, (values, why) in ONLY.items():
        if name in given and given[name].lower() not in values:
            raise DatabaseError(f"The database's URL asks for {name}={given[name]}, but {why}.")
    hosts = _hosts(given)
    return Address(
        hosts=hosts,
        user=given.get("user") or None,
        password=given.get("password") or None,
        database=given.get("dbname") or None,
        passfile=given.get("passfile") or None,
        tls=tls.of(given),
        settings=_settings(given),
        attrs=_attrs(given, len(hosts)),
        connect_timeout=_number(given, "connect_timeout") or CONNECT_TIMEOUT,
        socket_options=tuple(_socket_options(given)),
        shuffled=_one_of(given, "load_balance_hosts", ("disable", "random")) == "random",
        prepares=_prepares(given),
        notes=tuple(_notes(given)),
        kerberos={name: given[name] for name in ("krbsrvname", "gsslib") if given.get(name)},
    )


def _hosts(given: Mapping[str, str]) -> tuple[tuple[str | None, int], ...]:
    """Raises ``DatabaseError`` where hosts and ports do not match."""
    hosts = given["host"].split(",") if given.get("host") else []
    ports = given.get("port", "").split(",")
    if len(ports) == 1:
        ports *= max(len(hosts), 1)
    if len(ports) != max(len(hosts), 1):
        raise DatabaseError(
            f"The database's URL has {len(hosts)} hosts and {len(ports)} ports; give one to each."
        )
    wrong = [port for port in ports if port and not (port.isdecimal() and 0 < int(port) < 1 << 16)]
    if wrong or any(not host for host in hosts):
        raise DatabaseError(
            "The database's URL has a host without a name, or a port that is no number to 65535."
        )
    return tuple(
        (host or None, int(port or DEFAULT_PORT)) for host, port in zip(hosts or [""], ports, strict=True)
    )


def _settings(given: Mapping[str, str]) -> dict[str, str]:
    """Returns the server's settings; ``options`` that are more than settings go to it as they stand."""
    name = given.get("application_name") or given.get("fallback_application_name") or APPLICATION
    settings = {"application_name": name}
    options = given.get("options", "").strip()
    if not options:
        return settings
    try:
        words = shlex.split(re.sub(r"(^|\s)-c\s+", r"\1-c", options))
    except ValueError:
        raise DatabaseError(
            "The database's URL has options with an open quote; write -c name=value."
        ) from None
    pairs = [re.fullmatch(r"(?:-c|--)([\w.-]+)=(.*)", word, re.DOTALL) for word in words]
    if not all(pairs):
        return {**settings, "options": options}
    return settings | {pair[1].replace("-", "_"): pair[2] for pair in pairs if pair}


def _attrs(given: Mapping[str, str], hosts: int) -> str:
    """Returns ``target_session_attrs``: of several hosts one that takes writes, where the URL says nothing.
    Raises ``DatabaseError`` for servers that take none."""
    if not given.get("target_session_attrs"):
        return "read-write" if hosts > 1 else "any"
    attrs = given["target_session_attrs"].lower()
    if attrs in ("standby", "prefer-standby", "read-only"):
        raise DatabaseError(
            f"The database's URL asks for target_session_attrs={attrs}, but Postback writes; take read-write."
        )
    return _one_of(given, "target_session_attrs", ATTRS)


def _one_of(given: Mapping[str, str], name: str, values: tuple[str, ...]) -> str:
    value = given.get(name, "").lower() or values[0]
    if value not in values:
        raise DatabaseError(f"The database's URL has {name}={value}; it is one of {', '.join(values)}.")
    return value


def _number(given: Mapping[str, str], name: str) -> float:
    try:
        return max(float(given.get(name) or 0), 0.0)
    except ValueError:
        raise DatabaseError(f"The database's URL has {name}={given[name]}, which is no number.") from None


def _socket_options(given: Mapping[str, str]) -> Iterator[tuple[int, int, int]]:
    on = given.get("keepalives", "1") != "0"
    if on:
        yield socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1
    for name, (level, option) in _KEEPALIVES.items():
        value = int(_number(given, name))
        if value and (on or name == "tcp_user_timeout"):
            yield level, option, value


def _prepares(given: Mapping[str, str]) -> bool | None:
    """Returns what the URL says of prepared statements, in Prisma's and SQLAlchemy's words."""
    if given.get("pgbouncer", "").lower() in ("true", "1"):
        return False
    return _number(given, "statement_cache_size") > 0 if given.get("statement_cache_size") else UNKNOWN


def _notes(given: Mapping[str, str]) -> Iterator[str]:
    if _one_of(given, "channel_binding", ("prefer", "disable", "require")) == "require":
        yield _CHANNEL_BINDING


def _service(name: str) -> dict[str, str]:
    """Returns what libpq's service file says of *name*. Raises ``DatabaseError``."""
    own = Path(os.environ.get("PGSERVICEFILE") or Path("~/.pg_service.conf").expanduser())
    system = Path(os.environ.get("PGSYSCONFDIR") or "/etc/postgresql-common") / "pg_service.conf"
    for path in (own, system):
        services = configparser.ConfigParser(interpolation=None)
        try:
            services.read(path, encoding="utf-8")
        except (configparser.Error, OSError, UnicodeDecodeError):
            raise DatabaseError(
                f"The service file {path} cannot be read; mend it, or leave service out."
            ) from None
        if services.has_section(name):
            return dict(services.items(name))
    raise DatabaseError(f"The database's URL names the service {name}, which is not in {own}.")
