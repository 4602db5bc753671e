"""Postgres: one way to connect, for single connections, pools and SQLAlchemy alike (docs/postgres.md)."""

from receiver.db.address import CONNECT_TIMEOUT, Address, address
from receiver.db.connecting import MINIMUM_VERSION, Mode, connect, mode
from receiver.db.connection import Connection
from receiver.db.errors import DatabaseError, Full, Unreachable, of_connecting, of_losing
from receiver.db.pools import connected, engine, let_go, pool, pooled, prepared, snapshot
from receiver.db.ready import START_PATIENCE, check, reached
from receiver.db.statement_errors import is_of_content

__all__ = [
    "CONNECT_TIMEOUT",
    "MINIMUM_VERSION",
    "START_PATIENCE",
    "Address",
    "Connection",
    "DatabaseError",
    "Full",
    "Mode",
    "Unreachable",
    "address",
    "check",
    "connect",
    "connected",
    "engine",
    "is_of_content",
    "let_go",
    "mode",
    "of_connecting",
    "of_losing",
    "pool",
    "pooled",
    "prepared",
    "reached",
    "snapshot",
]
