"""The ways for Postgres to be away. Each lasts as long as its ``async with`` block."""

import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from resource import RLIM_INFINITY, RLIMIT_FSIZE, prlimit
from typing import Any, TypeAlias

from faults import processes
from faults.machine import Machine

Outage: TypeAlias = Callable[[Machine], AbstractAsyncContextManager[None]]

#: bytes that no file of the server may grow beyond while its disk is full: as large as the segments of its
#: log, which is on the same disk and goes on in the segments that it has
FULL = 16 * 1024 * 1024

#: copies of a request that is there, under new ids and with a longer body
_FILLER = """
INSERT INTO postback.payload
SELECT (jsonb_populate_record(
    p, jsonb_build_object('id', uuidv7(), 'body', '\\x7b7d' || repeat('20', 1000)))).*
FROM postback.payload p, generate_series(1, 2000) WHERE p.id = (SELECT id FROM postback.payload LIMIT 1)
"""
_SIZE = "SELECT pg_relation_size(tableoid) FROM postback.payload LIMIT 1"


@asynccontextmanager
async def stopped(machine: Machine) -> AsyncIterator[None]:
    """Ended as by an operator, who starts it again in the end."""
    machine.server.send(signal.SIGTERM)
    yield
    await machine.server.ended()
    await machine.database()


@asynccontextmanager
async def frozen(machine: Machine) -> AsyncIterator[None]:
    """It takes connections and says nothing: the kernel answers for it."""
    pids = processes.server(machine.server.pid)
    for pid in pids:
        processes.send(pid, signal.SIGSTOP)
    yield
    for pid in pids:
        processes.send(pid, signal.SIGCONT)


@asynccontextmanager
async def read_only(machine: Machine) -> AsyncIterator[None]:
    """As a standby, or a primary whose operator says so: it answers, and takes nothing."""
    async with machine.connection(superuser=True) as connection:
        await _read_only(connection, "on")
        yield
        await _read_only(connection, "off")


async def _read_only(connection: Any, value: str) -> None:
    await connection.execute("SET default_transaction_read_only = off")
    await connection.execute(f"ALTER SYSTEM SET default_transaction_read_only = {value}")
    await connection.execute("SELECT pg_reload_conf()")


@asynccontextmanager
async def locked(machine: Machine) -> AsyncIterator[None]:
    """Somebody has the outbox for himself; all else can be written."""
    async with machine.connection() as connection, connection.transaction():
        await connection.execute("LOCK TABLE postback.outbox IN ACCESS EXCLUSIVE MODE")
        yield


@asynccontextmanager
async def full(machine: Machine) -> AsyncIterator[None]:
    """No file grows any more, first of all not the table of payloads; see `fill`."""
    _limit(machine, FULL)
    yield
    _limit(machine, RLIM_INFINITY)


async def fill(machine: Machine) -> None:
    """Makes the table of payloads as large as `full` lets it be; one payload has to be there."""
    async with machine.connection() as connection:
        while await connection.fetchval(_SIZE) < FULL:
            await connection.execute(_FILLER)


def _limit(machine: Machine, size: int) -> None:
    for pid in processes.server(machine.server.pid):  # backends to come have it from the postmaster
        with suppress(ProcessLookupError):
            prlimit(pid, RLIMIT_FSIZE, (size, RLIM_INFINITY))


OUTAGES: dict[str, Outage] = {"stopped": stopped, "frozen": frozen, "full": full}
