"""The one way to connect to Postgres: over TLS or not, to one of several hosts, directly or through a pooler.

What is found out about an address is remembered for as long as the process runs: whether a pooler lends its
servers out by the transaction, which startup parameters it refuses, and which host answered last.
"""

import asyncio
import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import asyncpg
import structlog

from receiver.db.address import Address, address
from receiver.db.connection import Connection, Direct, Pooled
from receiver.db.errors import DatabaseError, Full, Unreachable, of_connecting
from receiver.db.hosts import Hosts

log = structlog.get_logger()

MINIMUM_VERSION = 15
#: seconds for a pooler to show how it pools
EXAMINATION = 2.0
#: looks at which server each of two connections has
LOOKS = 4
#: sent along unless a pooler refuses it: compiling our functions takes longer than running them
_OURS = {"jit": "off"}


class Mode(Enum):
    """What is at an address: a server, a pooler that keeps one server for each connection, or one that lends
    them out by the transaction."""

    DIRECT = "direct"
    SESSION = "a pooler in session mode"
    TRANSACTION = "a pooler in transaction mode"


@dataclass
class _Known:
    mode: Mode | None = None
    refused: set[str] = field(default_factory=set)
    #: the host to begin with
    first: int = 0
    hosts: Hosts = field(default_factory=Hosts)


_known: defaultdict[object, _Known] = defaultdict(_Known)


def _of(place: Address) -> _Known:
    return _known[place.hosts, place.database, place.user]


async def connect(
    database_url: str,
    *,
    ours: bool = True,
    record_class: Any = asyncpg.Record,
    command_timeout: float | None = None,
    **_: Any,
) -> Connection:
    """Opens one connection, with the settings that are *ours*. Raises ``DatabaseError``.

    Takes as many seconds as there are hosts times ``connect_timeout``. *_* is what asyncpg's pools pass too.
    """
    place = address(database_url)
    kind = Pooled if await _mode(place) is Mode.TRANSACTION else Direct
    connection = await _connected(
        place, kind, ours=ours, record_class=record_class, command_timeout=command_timeout
    )
    known = _of(place)
    if ours and known.mode is Mode.SESSION and known.refused:
        await connection.execute("; ".join(f"SET {name} = {_OURS[name]}" for name in known.refused))
    return connection


async def mode(database_url: str, *, told: bool = True, anew: bool = False) -> Mode:
    """Returns what is at *database_url*: what its words say of statements, unless *told* is False, or else
    what the first connection found out, or with *anew* this one. Raises ``DatabaseError``."""
    place = address(database_url)
    if anew:
        _of(place).mode = None
    return await _mode(place, told=told)


async def _mode(place: Address, *, told: bool = True) -> Mode:
    if told and place.prepares is not None:
        return Mode.SESSION if place.prepares else Mode.TRANSACTION
    known = _of(place)
    if known.mode is None:
        known.mode = await _examined(place)
        if known.mode is not Mode.DIRECT:
            log.info("Postgres is behind a pooler", mode=known.mode.value)
    return known.mode


async def _examined(place: Address) -> Mode:
    """Asks two connections which server they have, without relying on what a pooler might not do."""
    one = await _connected(place, Pooled)
    try:
        if one.get_server_version().major < MINIMUM_VERSION:
            return Mode.DIRECT  # `receiver.db.ready` refuses it, whatever it would answer here
        server = await _first_asked(one, place.connect_timeout)
        if server == one.get_server_pid():
            return Mode.DIRECT
        async with asyncio.timeout(EXAMINATION):
            other = await _connected(place, Pooled)
            try:
                mine, others = {server}, {await _asked(other)}
                for _ in range(LOOKS):
                    if mine & others or len(mine) + len(others) > 2:
                        return Mode.TRANSACTION
                    others.add(await _asked(other))
                    mine.add(await _asked(one))
            finally:
                other.terminate()
    except TimeoutError:
        return Mode.TRANSACTION  # which is safe everywhere, only slower
    except Exception as error:  # noqa: BLE001 - every failure of connecting is one of ours from here on
        raise of_connecting(error) from None
    finally:
        one.terminate()
    return Mode.SESSION  # a server of one's own is nobody else's, and stays the same


async def _first_asked(connection: Connection, patience: float) -> int:
    """A pooler accepts connections, whether there is a server for them or not."""
    try:
        async with asyncio.timeout(patience):
            return await _asked(connection)
    except TimeoutError:
        raise Unreachable(
            f"The database accepts connections and answers nothing for {patience:g} s; check the server "
            "behind the pooler, and that the pooler has enough connections to it."
        ) from None


async def _asked(connection: Connection) -> int:
    server: int = await connection.fetchval("SELECT pg_backend_pid()")
    return server


async def _connected(place: Address, kind: type[Direct], *, ours: bool = True, **options: Any) -> Direct:
    """Tries the hosts in turn, the one first that answered last. Raises ``DatabaseError``."""
    known, failures = _of(place), []
    for number in _order(place, known.first):
        # whoever is canceled in here has had no answer: the next attempt begins with the next host
        known.first = (number + 1) % len(place.hosts)
        try:
            connection = await _at(place, number, kind, options, ours=ours)
        except Exception as error:  # noqa: BLE001 - every failure of connecting is one of ours from here on
            failures.append(of_connecting(error))
        else:
            known.first = number
            known.hosts.opened(number, connection)
            if place.attrs != "any":
                known.hosts.took_over(number)
            return connection
    raise _together(failures) from None


def _order(place: Address, first: int) -> Iterator[int]:
    number = len(place.hosts)
    if place.shuffled:
        yield from random.sample(range(number), number)
    else:
        yield from ((first + turn) % number for turn in range(number))


def _together(failures: list[DatabaseError]) -> DatabaseError:
    """One failure for all hosts: what may be over in a moment makes the whole worth another try."""
    if len(failures) == 1:
        return failures[0]
    kind = next(
        kind for kind in (Full, Unreachable, DatabaseError) if any(isinstance(f, kind) for f in failures)
    )
    return kind(f"None of the database's {len(failures)} hosts can be used. {' '.join(map(str, failures))}")


async def _at(
    place: Address, number: int, kind: type[Direct], options: dict[str, Any], *, ours: bool
) -> Direct:
    known, (host, port) = _of(place), place.hosts[number]
    settings = {name: value for name, value in _OURS.items() if ours and name not in known.refused}
    try:
        connection: Direct = await asyncpg.connect(
            **place.arguments(),
            host=host,
            port=port,
            server_settings={**settings, **place.settings},
            target_session_attrs=place.attrs,
            timeout=place.connect_timeout,
            connection_class=kind,
            **({"statement_cache_size": 0} if kind is Pooled else {}),
            **options,
        )
    except asyncpg.PostgresError as error:
        refused = {name for name in settings if _refuses(error, name)}
        if not refused:
            raise
        known.refused |= refused
        return await _at(place, number, kind, options, ours=ours)
    connection.set_socket_options(place.socket_options)
    connection.mixed_up = lambda: setattr(known, "mode", None)
    return connection


def _refuses(error: asyncpg.PostgresError, name: str) -> bool:
    return "unsupported startup parameter" in str(error) and str(error).rstrip().endswith(name)
