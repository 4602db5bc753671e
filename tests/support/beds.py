"""The Postgres that a run of the suite uses: the embedded one, Debian's, or Debian's behind PgBouncer.

``pytest --bed debian -m stock`` runs the marked tests on a server as it is packaged, with JIT and TLS, for a
role that owns its database and nothing else; ``--bed pgbouncer`` puts a pooler in transaction mode before it.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from postback.embedded import EmbeddedPostgres, superuser_url
from tests.support import debian, pgbouncer

NAMES = ("embedded", "debian", "pgbouncer")

#: nothing here survives the run; tests of durability start a server of their own
FAST = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}

#: addresses that lead to a pooler, and the server behind it
_behind: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class Bed:
    """*url* is the server's ``postgres`` database for the product, *admin* the same for the superuser, past
    any pooler. *owner* is the product's role."""

    url: str
    admin: str
    owner: str

    def of(self, database: str) -> str:
        """Returns the URL of *database* for the product."""
        return self.url.replace("/postgres?", f"/{database}?")

    async def create(self, database: str, template: str = "template1") -> str:
        """Makes *database*, a copy of *template*, for the product; returns its URL."""
        # a copy through the log, which is the default, takes longer where nothing is forced to disk
        await self._execute(
            f"CREATE DATABASE {database} TEMPLATE {template} STRATEGY FILE_COPY OWNER {self.owner}"
        )
        return self.of(database)

    async def drop(self, database: str) -> None:
        """Removes *database* and ends the sessions in it."""
        await self._execute(f"DROP DATABASE {database} WITH (FORCE)")

    async def _execute(self, statement: str) -> None:
        connection = await asyncpg.connect(self.admin)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


def check(name: str) -> None:
    """Raises ``Missing`` where the programs of the bed *name* are not installed."""
    if name != "embedded":
        debian.check(debian.PROGRAMS / "initdb", "postgresql-15")
    if name == "pgbouncer":
        debian.check(pgbouncer.PROGRAM, "pgbouncer")


@contextmanager
def laid(name: str) -> Iterator[Bed]:
    """Starts the servers of the bed *name*, and stops them at the end."""
    with tempfile.TemporaryDirectory(prefix="postback-tests-") as directory:
        if name == "embedded":
            with EmbeddedPostgres(Path(directory), settings=FAST, superuser=True) as server:
                admin = superuser_url(server.url)
                yield Bed(admin, admin, "postgres")
            return
        with debian.Postgres(Path(directory), FAST) as server:
            straight = Bed(server.url(debian.OWNER), server.url(debian.SUPERUSER), debian.OWNER)
            if name == "debian":
                yield straight
                return
            with pgbouncer.PgBouncer(Path(directory), server) as pooler:
                _behind[pooler.address] = server.address
                yield Bed(pooler.url, straight.admin, straight.owner)


def direct(url: str) -> str:
    """Returns *url* past the pooler that it leads to, if it leads to one of ours."""
    for pooled, server in _behind.items():
        url = url.replace(f"@{pooled}/", f"@{server}/")
    return url


async def connect(url: str) -> "asyncpg.Connection[Any]":
    """Opens a connection of the test's own, which keeps its session: it goes past a pooler."""
    return await asyncpg.connect(direct(url))
