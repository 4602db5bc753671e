"""What `postback doctor` asks the database."""

import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import asyncpg

from postback import checkup_connection
from postback.checkup import Finding, failure, ok, size, span, warning
from receiver import db, migrate, partitions, secrets, sql
from receiver.config import ConfigError, Settings
from receiver.db import Connection
from receiver.id_times import moment_of
from receiver.janitor import SPACING, TURN
from receiver.retention import SWEEPS, Cutoffs

#: connections that a web process opens at most, and a sender with a forwarder
PER_WEB_PROCESS, BEHIND = 16, 14
#: seconds between this machine's clock and the database's
APART, FAR_APART = 1.0, 30.0
#: sends that are counted per channel; more are told as so many
MOST_COUNTED = 100_000
#: how long after its time something may still be there
TARDY = timedelta(days=2)
#: what a 2xx relies on
PROMISES = ("fsync", "full_page_writes", "synchronous_commit")


async def examine(settings: Settings) -> AsyncIterator[Finding]:
    try:
        connection = await db.connect(settings.database_url)
    except db.DatabaseError as error:
        yield failure("database", str(error), "")
        return
    try:
        async for finding in _server(connection):
            yield finding
        async for finding in checkup_connection.examine(settings, connection):
            yield finding
        migrated = await _migrated(connection, settings.db_schema)
        yield migrated
        if not migrated.remedy:
            async for finding in _contents(connection, settings):
                yield finding
    except db.DatabaseError as error:
        yield failure("database", str(error), "")
    except asyncpg.PostgresError as error:
        yield failure("database", f"{type(error).__name__}: {error}", "see the server's log")
    finally:
        await db.let_go(connection)


async def _server(connection: Connection) -> AsyncIterator[Finding]:
    said = f"Postgres {await connection.fetchval('SHOW server_version')}"
    if connection.get_server_version().major < db.MINIMUM_VERSION:
        yield failure("database", said, f"upgrade it to {db.MINIMUM_VERSION} or later")
    else:
        yield ok("database", said)
    off = [name for name in PROMISES if await connection.fetchval(f"SHOW {name}") == "off"]
    if off:
        remedy = "switch it on: without it a 2xx can be lost with the power"
        yield failure("durability", f"{', '.join(off)} is off", remedy)
    else:
        yield ok("durability", f"{', '.join(PROMISES)} are on")
    used, room = await connection.fetchrow(
        """SELECT (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),
                  current_setting('max_connections')::int
                  - current_setting('superuser_reserved_connections')::int"""
    )
    said = f"{used} of {room} in use; a web process opens up to {PER_WEB_PROCESS}, the others {BEHIND}"
    if room - used < PER_WEB_PROCESS:
        yield warning("connections", said, "raise max_connections, or run fewer web processes")
    else:
        yield ok("connections", said)
    yield await _clocks(connection)


async def _clocks(connection: Connection) -> Finding:
    begun = time.time()
    theirs = (await connection.fetchval("SELECT clock_timestamp()")).timestamp()
    ended = time.time()
    # what the round trip took is no difference
    apart = max(begun - theirs, theirs - ended, 0.0)
    said = f"{apart * 1000:.0f} ms apart from the database's"
    remedy = "keep both with NTP: ids and leases are made of them"
    if apart > FAR_APART:
        return failure("clocks", said, remedy)
    return warning("clocks", said, remedy) if apart > APART else ok("clocks", said)


async def _migrated(connection: Connection, schema: str) -> Finding:
    remedy = "run: postback migrate"
    if await connection.fetchval("SELECT to_regclass($1)", f'"{schema}".alembic_version') is None:
        return failure("schema", f'"{schema}" has no tables', remedy)
    stands = await connection.fetchval(f'SELECT version_num FROM "{schema}".alembic_version')  # noqa: S608
    later = not migrate.known(stands)
    if stands != migrate.head() and not later:
        return failure("schema", f'"{schema}" is at {stands}, this version needs {migrate.head()}', remedy)
    generations = [row["generation"] for row in await connection.fetch(sql.GENERATIONS, f'"{schema}"')]
    if sql.ours().generation not in generations:
        return failure("schema", f'"{schema}" has no functions of this version', remedy)
    said = f'"{schema}" at {stands}{", of a later version" if later else ""}; this version has its functions'
    if generations[0] == sql.ours().generation:
        return ok("schema", said)
    return warning("schema", f"{said}, and of a later one", "upgrade what still runs this version")


async def _contents(connection: Connection, settings: Settings) -> AsyncIterator[Finding]:
    schema, now = settings.db_schema, datetime.now(UTC)
    yield await _secret_key(connection, settings)
    yield await _months(connection, schema, now)
    astray = await partitions.astray(connection, schema)
    if astray:
        said = ", ".join(f"{rows:,} rows of {table}" for table, rows in astray.items())
        remedy = "a month was missed: run postback janitor; what stays was made by a wrong clock"
        yield failure("default partitions", said, remedy)
    else:
        yield ok("default partitions", "empty")
    yield await _orphans(connection, settings)
    yield await _kept(connection, settings, now)
    yield await _sizes(connection, schema)


async def _secret_key(connection: Connection, settings: Settings) -> Finding:
    known = await connection.fetch(
        f'SELECT fingerprint, since FROM "{settings.db_schema}".secret_key_check'  # noqa: S608
    )
    try:
        keys = secrets.load(settings)
    except ConfigError as error:
        return failure("secret key used", str(error), "")
    listed = [row for row in known if keys.matches("fingerprint", b"postback", row["fingerprint"])]
    if known and not listed:
        remedy = "put the right one back, or list it after the new one"
        return failure("secret key used", "not one that this database was used with", remedy)
    if not all(keys.knows(row["fingerprint"]) for row in known):
        since = next((row["since"] for row in listed if row["fingerprint"] == keys.fingerprint), None)
        people = await connection.fetchval(
            f"""SELECT count(DISTINCT contact_hash) FROM "{settings.db_schema}".opt_out_entry
                WHERE contact_hash <> '' AND at < coalesce($1::timestamptz, 'infinity')""",  # noqa: S608
            since,
        )
        if people:
            said = (
                f"a key is listed no more, and opt-outs of {people} erased people may have been made with it"
            )
            return warning("secret key used", said, "list it as opt_out_keys: else they may be written to")
    return ok("secret key used", "the database knows it" if known else "not used with this database yet")


async def _months(connection: Connection, schema: str, now: datetime) -> Finding:
    there = {(p.table, p.begin) for p in await partitions.existing(connection, schema)}
    wanted = sorted(partitions.months(now))[1:]
    ahead = 0
    for ahead, begin in enumerate(wanted):  # noqa: B007 - how far it came is what is asked
        if any((table, begin) not in there for table in partitions.TABLES):
            break
    else:
        return ok("partitions", f"made until the end of {wanted[-1]:%B %Y}")
    said = f"missing from {wanted[ahead]:%B %Y} on"
    remedy = "run: postback janitor; `up`, `serve`, `send` and `forward` make them while they run"
    return failure("partitions", said, remedy) if ahead <= 1 else warning("partitions", said, remedy)


async def _kept(connection: Connection, settings: Settings, now: datetime) -> Finding:
    """Whether what is past its time is gone, and when anybody last saw to that."""
    cutoffs, overdue = Cutoffs.at(now, settings.retention), []
    for sweep in SWEEPS:
        cutoff = cutoffs.of(sweep.kind)
        if cutoff is not None and sweep.table in partitions.TABLES:
            key = partitions.TABLES[sweep.table]
            oldest = await connection.fetchval(
                f'SELECT {key} FROM "{settings.db_schema}"."{sweep.table}" ORDER BY {key} LIMIT 1'  # noqa: S608
            )
            if oldest is not None and moment_of(oldest) < cutoff - TARDY:
                overdue.append(f"{sweep.table} ({moment_of(oldest):%Y-%m-%d})")
    due = await connection.fetchval(
        f'SELECT due FROM "{settings.db_schema}".rate WHERE channel = $1',  # noqa: S608
        TURN,
    )
    last = (
        f"the janitor ran {span((now - due + SPACING).total_seconds())} ago" if due else "no janitor ran yet"
    )
    if overdue:
        return warning("janitor", f"{last}; past their time: {', '.join(overdue)}", "run: postback janitor")
    return ok("janitor", f"{last}; nothing is past its time")


async def _orphans(connection: Connection, settings: Settings) -> Finding:
    """Sends that wait for a channel which is configured no more."""
    schema = settings.db_schema
    rows = await connection.fetch(
        sql.qualified(
            f"""SELECT c.channel, (SELECT count(*) FROM (SELECT FROM postback.outbox o
                    WHERE o.channel = c.channel AND o.state = 'queued' LIMIT {MOST_COUNTED}) q) AS number
                FROM postback.queued_channels() c WHERE c.channel <> ALL ($1::text[]) ORDER BY c.channel""",  # noqa: S608
            schema,
        ),
        list(settings.channels),
    )
    if not rows:
        return ok("outbox", "nothing waits for a channel that is configured no more")
    said = ", ".join(f"{row['number']:,} for {row['channel']!r}" for row in rows)
    remedy = (
        "configure the channel again, or cancel them; else each ends as expired, at its expires_at or three "
        "days after it was accepted"
    )
    return warning("outbox", f"sends wait for a channel that is configured no more: {said}", remedy)


async def _sizes(connection: Connection, schema: str) -> Finding:
    rows = await connection.fetch(
        """SELECT coalesce(parent.relname, c.relname) AS name,
               sum(pg_total_relation_size(c.oid))::float8 AS bytes
           FROM pg_class c LEFT JOIN pg_inherits i ON i.inhrelid = c.oid
           LEFT JOIN pg_class parent ON parent.oid = i.inhparent
           WHERE c.relnamespace = $1::regnamespace AND c.relkind = 'r' GROUP BY 1 ORDER BY 2 DESC""",
        f'"{schema}"',
    )
    largest = ", ".join(f"{row['name']} {size(row['bytes'])}" for row in rows[:3])
    return ok("size", f"{size(sum(row['bytes'] for row in rows))}; {largest}")
