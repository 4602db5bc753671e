# ruff: noqa: S608 - tables and columns are named by the schema, values are parameters
"""Where a number can stand in a table, and how it is masked there."""

import re
from collections.abc import Mapping
from typing import Any

import orjson

from receiver.db import Connection
from receiver.erase.number import Number

#: tables that hold no words, or whose rows are taken out before
_LEFT_ALONE = ("alembic_version",)
_TEXT, _TEXTS, _JSON, _BYTES = "text", "text[]", "jsonb", "bytea"
_KINDS = {"character varying": _TEXT, "text": _TEXT, "text[]": _TEXTS, "jsonb": _JSON, "bytea": _BYTES}


async def columns_of_words(connection: Connection, schema: str) -> Mapping[str, dict[str, str]]:
    """The columns that may hold some, by table; partitions are tables."""
    rows = await connection.fetch(
        """SELECT c.relname, a.attname, format_type(a.atttypid, NULL) AS kind
           FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
           WHERE c.relnamespace = $1::regnamespace AND c.relkind = 'r' AND a.attnum > 0
               AND NOT a.attisdropped ORDER BY c.relname, a.attnum""",
        f'"{schema}"',
    )
    found: dict[str, dict[str, str]] = {}
    for row in rows:
        kind = _KINDS.get(row["kind"].replace("character varying[]", "text[]"))
        if kind and row["relname"] not in _LEFT_ALONE and not row["attname"].endswith(("hash", "sha256")):
            found.setdefault(row["relname"], {})[row["attname"]] = kind
    return found


async def mask(
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


def together(columns: Mapping[str, str]) -> str:
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
