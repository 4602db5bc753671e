# ruff: noqa: S608 - tables and columns are named by the schema, values are parameters
"""Removing a number everywhere: in tables by whatever name, in files, in spools.

The messages stay, without their words and with a masked number, so that figures go on adding up. The opt-out
list keeps a keyed hash, and goes on working. What is found is found by its looks, in every column of every
table of the schema: a table that is added later is covered too.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias

import asyncpg
import orjson
import phonenumbers

from receiver import db, optouts, phone, secrets, spool
from receiver.config import ConfigError, Settings
from receiver.media import store_of
from receiver.sql import qualified

BATCH = 500
#: between two digits of a number as people and forms write it; at most three of them
_BETWEEN = r"(?:[^0-9A-Za-z]|%[0-9A-Fa-f][0-9A-Fa-f]|\\u00[0-9a-f][0-9a-f]){0,3}"
_PLUS = r"(?:[+]|%2[Bb]|\\u002[Bb]|00)"
#: tables that hold no words, or whose rows are taken out before
_LEFT_ALONE = ("alembic_version",)
#: tables of rows that are found by the number, or are nothing without it
_NAMED = ("payload", "reference", "submission", "idempotency", "conversation")
#: tables that go on knowing the number by its hash; their rows of one number change together
_HASHED = ("opt_out_entry", "opt_out")
#: tables from which messages' words are taken
_STRIPPED = ("message", "message_body", "event", "media", "file", "payload", "reference")
_TEXT, _TEXTS, _JSON, _BYTES = "text", "text[]", "jsonb", "bytea"
_KINDS = {"character varying": _TEXT, "text": _TEXT, "text[]": _TEXTS, "jsonb": _JSON, "bytea": _BYTES}

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


@dataclass(frozen=True, slots=True)
class Number:
    """A number to look for. *pattern* is for Postgres and for Python alike: any way of writing it, with or
    without the country, not as part of a longer one."""

    number: str
    pattern: str

    @property
    def masked(self) -> str:
        return phone.redacted(self.number)


def wanted(number: str) -> Number:
    """Raises ``ValueError`` for what would match nearly anything."""
    digits = re.sub(r"\D", "", number)
    if len(digits) < 3:
        raise ValueError("a number has three digits at least")
    prefix = ""
    if number.startswith("+"):
        try:
            parsed = phonenumbers.parse(number, None)
            country, national = str(parsed.country_code), phonenumbers.national_significant_number(parsed)
        except phonenumbers.NumberParseException:
            country, national = "", digits
        if len(national) >= 7:  # a shorter one stands for too much without its country
            prefix = f"(?:(?:{_PLUS}{_BETWEEN})?{country}{_BETWEEN}|0{_BETWEEN})?[(]?" if country else ""
            digits = national
    return Number(number, f"(?<![0-9]){prefix}{_BETWEEN.join(digits)}(?![0-9])")


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
            sought = wanted(number)
        except ValueError as error:
            raise ConfigError(f"{number!r} cannot be erased: {error}.") from None
        connection = await db.connect(self._settings.database_url)
        try:
            await connection.execute("SET lock_timeout = '5s'")
            if not dry:
                await self._stop(connection, sought)
                # before the tables: what is drained meanwhile is found there
                self._report.spooled = spool.erase(self._settings.data_dir, _plain_forms(sought))
                await self._strip(connection, sought)
            await self._sweep(connection, sought, dry=dry)
        finally:
            await connection.close()
        return self._report

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
            async with connection.transaction():
                files = await connection.fetch(self._sql("SELECT sha256 FROM postback.strip($1)"), ids)
                await connection.execute(mask, ids, sought.number, sought.masked)
            for file in files:
                self._store.remove(file["sha256"])
            self._report.messages += len(ids)
            self._report.files += len(files)
            self._progress(f"message: {self._report.messages:,}")

    async def _sweep(self, connection: Connection, sought: Number, *, dry: bool) -> None:
        """Whatever still holds the number, wherever. Rows of which it is a name go, other rows are masked."""
        for table, columns in (await self._columns(connection)).items():
            self._progress(table)
            name, where = f'"{self._schema}"."{table}"', f"({_together(columns)}) ~ $1"
            plain = re.sub(r"_p_(\d{6}|default)$", "", table)
            if dry:
                counted = f"SELECT count(*) FROM {name} WHERE {where}"
                self._report.add(plain, await connection.fetchval(counted, sought.pattern))
                continue
            if plain in _NAMED:
                done = _count(await connection.execute(f"DELETE FROM {name} WHERE {where}", sought.pattern))
            else:
                async with connection.transaction():
                    if plain in _HASHED:
                        await self._hash(connection, sought)
                    done = await _mask(connection, name, columns, where, sought)
            self._report.add(plain, done)
            if done or plain in _STRIPPED:
                await connection.execute(f"VACUUM {name}")

    async def _columns(self, connection: Connection) -> Mapping[str, dict[str, str]]:
        """The columns that may hold words, by table; partitions are tables."""
        rows = await connection.fetch(
            """SELECT c.relname, a.attname, format_type(a.atttypid, NULL) AS kind
               FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
               WHERE c.relnamespace = $1::regnamespace AND c.relkind = 'r' AND a.attnum > 0
                   AND NOT a.attisdropped ORDER BY c.relname, a.attnum""",
            f'"{self._schema}"',
        )
        found: dict[str, dict[str, str]] = {}
        for row in rows:
            kind = _KINDS.get(row["kind"].replace("character varying[]", "text[]"))
            if kind and row["relname"] not in _LEFT_ALONE and not row["attname"].endswith(("hash", "sha256")):
                found.setdefault(row["relname"], {})[row["attname"]] = kind
        return found

    @property
    def _sql(self) -> Callable[[str], str]:
        return partial(qualified, schema=self._schema)


async def _mask(
    connection: Connection, name: str, columns: Mapping[str, str], where: str, sought: Number
) -> int:
    listed = ", ".join(f'"{column}"' for column in columns)
    placed = ", ".join(f'"{column}" = ${place}' for place, column in enumerate(columns, 2))
    found = await connection.fetch(
        f"SELECT ctid::text AS place, {listed} FROM {name} WHERE {where} FOR UPDATE", sought.pattern
    )
    for row in found:
        values = [_without(row[column], kind, sought) for column, kind in columns.items()]
        await connection.execute(
            f"UPDATE {name} SET {placed} WHERE ctid = $1::text::tid", row["place"], *values
        )
    return len(found)


def _together(columns: Mapping[str, str]) -> str:
    """All *columns* of a row as one text. Bytes that are no ASCII are written as backslash and three digits,
    which are not the number's."""
    texts = {
        column: f"""regexp_replace(encode("{column}", 'escape'), '\\\\([0-7]{{3}})', ' ', 'g')"""
        if kind == _BYTES
        else f'"{column}"::text'
        for column, kind in columns.items()
    }
    return " || E'\\n\\n\\n\\n' || ".join(f"coalesce({text}, '')" for text in texts.values())


def _without(value: Any, kind: str, sought: Number) -> Any:
    """*value* of a column, the number masked."""
    if value is None:
        return None
    if kind == _BYTES:
        return re.sub(sought.pattern.encode(), sought.masked.encode(), value)
    if kind == _JSON:
        return orjson.dumps(_in_json(orjson.loads(value), sought)).decode()
    return _in_json(value, sought)


def _in_json(value: Any, sought: Number) -> Any:
    if isinstance(value, dict):
        return {_in_json(key, sought): _in_json(item, sought) for key, item in value.items()}
    if isinstance(value, list):
        return [_in_json(item, sought) for item in value]
    if isinstance(value, str):
        return re.sub(sought.pattern, sought.masked, value)
    if isinstance(value, int) and re.search(sought.pattern, str(value)):
        return sought.masked
    return value


def _plain_forms(sought: Number) -> list[str]:
    digits = re.sub(r"\D", "", sought.number)
    forms = [digits]
    if sought.number.startswith("+"):
        parsed = phonenumbers.parse(sought.number, None)
        forms.append(phonenumbers.national_significant_number(parsed))
        forms += [
            phonenumbers.format_number(parsed, style)
            for style in (
                phonenumbers.PhoneNumberFormat.NATIONAL,
                phonenumbers.PhoneNumberFormat.INTERNATIONAL,
            )
        ]
    return forms


def _count(done: str) -> int:
    return int(done.rpartition(" ")[2])
