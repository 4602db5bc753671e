# ruff: noqa: S608 - tables and columns are named by the schema, values are parameters
"""What is removed, one after the other: waiting sends, spools, the words of messages, whatever is left, and
what processes keep of it in memory."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

from receiver import db, optouts, phone, redactions, secrets, spool
from receiver.commit import PATIENCE
from receiver.config import ConfigError, Settings
from receiver.db import Connection
from receiver.erase.columns import columns_of_words, mask, together
from receiver.erase.number import Number, plain_forms, wanted
from receiver.media import store_of
from receiver.sql import qualified

BATCH = 500
#: tables of rows that are found by the number, or are nothing without it
_NAMED = ("payload", "reference", "submission", "idempotency", "conversation")
#: tables that go on knowing the number by its hash; their rows of one number change together
_HASHED = ("opt_out_entry", "opt_out")
#: rows that processes write from what they keep in memory
_TOLD = "delivery"
#: seconds within which what was read from a spool is in Postgres, or is read again
IN_HAND = 6 * PATIENCE
#: tables from which messages' words are taken
_STRIPPED = ("message", "message_body", "event", "media", "file", "payload", "reference", _TOLD)


@dataclass(slots=True)
class Report:
    """What was removed, or would be: rows by table, files, and requests in spools."""

    messages: int = 0
    rows: dict[str, int] = field(default_factory=dict)
    files: int = 0
    spooled: int = 0

    def add(self, table: str, rows: int) -> None:
        if rows:
            self.rows[table] = self.rows.get(table, 0) + rows


class Busy(Exception):
    """A message to the number is on its way to its carrier just now."""


class Erase:
    """Each step commits by itself and may be repeated: run it again if it is interrupted."""

    def __init__(self, settings: Settings, progress: Callable[[str], None] = lambda _: None) -> None:
        keys = secrets.load(settings)
        self._settings, self._progress = settings, progress
        self._schema = settings.db_schema
        self._rules = optouts.configured(settings, keys)
        self._store = store_of(settings, keys)
        self._report = Report()

    async def run(self, number: str, *, dry: bool = False) -> Report:
        """Raises ``Busy``, ``ConfigError`` for what is no number, and ``DatabaseError``."""
        try:
            spelt = [wanted(spelling) for spelling in phone.spellings(number)]
        except ValueError as error:
            raise ConfigError(f"{number!r} cannot be erased: {error}.") from None
        async with db.connected(self._settings.database_url) as connection:
            for sought in spelt:
                await self._erase(connection, sought, dry=dry)
        return self._report

    async def _erase(self, connection: Connection, sought: Number, *, dry: bool) -> None:
        if not dry:
            await self._stop(connection, sought)
            await self._spools(sought)
            await self._strip(connection, sought)
        columns = await columns_of_words(connection, self._schema)
        for table in sorted(columns, key=lambda table: table == _TOLD):
            if table == _TOLD and not dry:
                await self._forget(connection)
                await self._empty(connection, sought)
            await self._sweep(connection, table, columns[table], sought, dry=dry)

    async def _spools(self, sought: Number) -> None:
        """Before the tables: what is drained meanwhile is found there."""
        self._progress("spools")
        removed = spool.erase(self._settings.data_dir, plain_forms(sought))
        self._report.spooled += removed
        if removed:
            await asyncio.sleep(IN_HAND)

    async def _forget(self, connection: Connection) -> None:
        """Whatever a process has read until now it reads again: the number may stand in anybody's text."""
        self._progress("what is kept in memory")
        await connection.execute(self._sql("SELECT postback.note_redaction(NULL)"))
        await redactions.everywhere(connection, self._schema)

    async def _empty(self, connection: Connection, sought: Number) -> None:
        """What still has to be posted and holds the number is made anew: masked where it stands, it might be
        no JSON any more."""
        where = together({"body": "bytea"})
        await connection.execute(
            self._sql(f"UPDATE postback.{_TOLD} SET body = NULL WHERE {where} ~ $1"), sought.pattern
        )

    async def _stop(self, connection: Connection, sought: Number) -> None:
        """What waits to be sent to the number is canceled."""
        self._progress("outbox")
        statement = self._sql("SELECT id, channel, state FROM postback.outbox WHERE contact = $1")
        for row in await connection.fetch(statement, sought.number):
            if row["state"] == "calling":
                raise Busy("A message to this number is on its way to its carrier; try again in a minute.")
            await connection.execute(
                self._sql("SELECT postback.cancel_for($1, $2)"), row["id"], row["channel"]
            )
            self._report.add("outbox", 1)

    async def _hash(self, connection: Connection, sought: Number) -> None:
        """Until the commit nobody adds to what they said: without its hash it would be lost."""
        await connection.execute(self._sql("SELECT postback.alone_with($1)"), sought.number)
        digest = self._rules.hash(sought.number)
        for table in _HASHED:
            done = await connection.execute(
                self._sql(
                    f"UPDATE postback.{table} SET contact = $2, contact_hash = $3"
                    " WHERE contact = $1 AND contact_hash = ''"
                ),
                sought.number, sought.masked, digest,
            )  # fmt: skip
            self._report.add(table, _count(done))

    async def _strip(self, connection: Connection, sought: Number) -> None:
        find = self._sql("SELECT postback.messages_of($1, $2)")
        mask = self._sql(
            """UPDATE postback.message SET conversation_id = NULL,
                contact = CASE WHEN contact = $2 THEN $3 ELSE contact END,
                our_number = CASE WHEN our_number = $2 THEN $3 ELSE our_number END
               WHERE id = ANY ($1)"""
        )
        while ids := await connection.fetchval(find, sought.number, BATCH):
            async with _patient(connection):
                files = await connection.fetch(self._sql("SELECT sha256 FROM postback.strip($1)"), ids)
                await connection.execute(mask, ids, sought.number, sought.masked)
            for file in files:
                self._store.remove(file["sha256"])
            self._report.messages += len(ids)
            self._report.files += len(files)
            self._progress(f"message: {self._report.messages:,}")

    async def _sweep(
        self, connection: Connection, table: str, columns: Mapping[str, str], sought: Number, *, dry: bool
    ) -> None:
        """Whatever of *table* still holds the number. Rows that it names go, others are masked."""
        self._progress(table)
        name, where = f'"{self._schema}"."{table}"', f"({together(columns)}) ~ $1"
        plain = re.sub(r"_p_(\d{6}|default)$", "", table)
        if dry:
            counted = f"SELECT count(*) FROM {name} WHERE {where}"
            self._report.add(plain, await connection.fetchval(counted, sought.pattern))
            return
        async with _patient(connection):
            if plain in _NAMED:
                delete = f"DELETE FROM {name} WHERE {where}"
                done = _count(await connection.execute(delete, sought.pattern))
            else:
                if plain in _HASHED:
                    await self._hash(connection, sought)
                done = await mask(connection, name, columns, where, sought)
        self._report.add(plain, done)
        if done or plain in _STRIPPED:
            await connection.execute(f"VACUUM {name}")

    @property
    def _sql(self) -> Callable[[str], str]:
        return partial(qualified, schema=self._schema)


@asynccontextmanager
async def _patient(connection: Connection) -> AsyncIterator[None]:
    """A transaction that waits for each lock, and not for ever. Behind a pooler no setting lasts longer."""
    async with connection.transaction():
        await connection.execute("SET LOCAL lock_timeout = '5s'")
        yield


def _count(done: str) -> int:
    return int(done.rpartition(" ")[2])
