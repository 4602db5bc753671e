"""What `postback doctor` says of the way to the database: encryption, poolers, JIT."""

from collections.abc import AsyncIterator, Iterator

import asyncpg

from postback.checkup import Finding, failure, ok, warning
from receiver import db
from receiver.config import Settings
from receiver.db import Address, Connection, Mode

_LOCAL = (None, "localhost", "127.0.0.1", "::1")


async def examine(settings: Settings, connection: Connection) -> AsyncIterator[Finding]:
    """Raises ``DatabaseError`` and asyncpg's errors."""
    place = db.address(settings.database_url)
    for finding in _encryption(place, connection):
        yield finding
    mode = await db.mode(settings.database_url, told=False)
    yield await _statements(settings.database_url)
    async for finding in _pooler(settings, mode):
        yield finding
    yield await _jit(settings)


def _encryption(place: Address, connection: Connection) -> Iterator[Finding]:
    hosts = f"{len(place.hosts)} hosts, {place.attrs}; " if len(place.hosts) > 1 else ""
    far = [host for host, _ in place.hosts if host not in _LOCAL and not str(host).startswith("/")]
    if connection.is_encrypted:
        said = f"{hosts}over TLS" + ("" if place.tls.verifies else ", and any certificate is taken")
    else:
        said = f"{hosts}without TLS"
    if far and not connection.is_encrypted:
        remedy = (
            "add sslmode=verify-full&sslrootcert=system to database_url: passwords and texts are in clear"
        )
        yield warning("connection", said, remedy)
    else:
        yield ok("connection", said)
    for note in place.notes:
        yield warning("connection", *note.split("; ", 1))


async def _statements(database_url: str) -> Finding:
    """Whether a connection finds again what it has prepared, while another one uses the servers: what every
    process here relies on."""
    found = []
    try:
        async with db.connected(database_url) as one, db.connected(database_url) as other:
            for _ in range(2):
                async with other.transaction():
                    await other.fetchval("SELECT 1")
                    found += [await one.fetchval(f"SELECT {number} + $1::int", 0) for number in (1, 2)]
                found += [await one.fetchval(f"SELECT {number} + $1::int", 0) for number in (1, 2)]
    except asyncpg.PostgresError as error:
        said = f"prepared statements are lost: {str(error).partition(chr(10))[0]}"
        remedy = "take statement_cache_size out of database_url, or set max_prepared_statements in PgBouncer"
        return failure("statements", said, remedy)
    if found != [1, 2] * 4:
        return failure("statements", f"prepared statements are mixed up: {found}", "see to the pooler")
    return ok("statements", "two prepared statements were found again")


async def _pooler(settings: Settings, mode: Mode) -> AsyncIterator[Finding]:
    yield ok("pooler", "none in between" if mode is Mode.DIRECT else mode.value)
    name = "listen_url" if settings.listen_url else "database_url"
    try:
        heard = await db.mode(settings.listen_url or settings.database_url, told=False)
    except db.DatabaseError as error:
        yield failure("listening", f"listen_url cannot be used: {error}", "")
        return
    if heard is Mode.TRANSACTION:
        said = f"{name} is a pooler in transaction mode: the sender looks for work, and hears of none"
        yield warning("listening", said, "set listen_url to the server itself")
    else:
        yield ok("listening", f"{name} is listened to")


async def _jit(settings: Settings) -> Finding:
    connection = await db.connect(settings.database_url, ours=False)
    try:
        setting = await connection.fetchval("SELECT reset_val FROM pg_settings WHERE name = 'jit'")
    finally:
        await db.let_go(connection)
    if db.address(settings.database_url).settings.get("jit", "off") != "off":
        return warning("jit", "switched on by database_url", "take it out of options: statements take longer")
    return ok("jit", "on at the server, off for what Postback runs" if setting == "on" else "off")
