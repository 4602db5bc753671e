"""What is left of somebody: in tables, in files, in bytes."""

import asyncio
import re
from pathlib import Path

from tests.support.beds import connect

#: a number's digits, whatever stands between them
_CANARY = re.compile(rb"2065550123")
_SEPARATORS = re.compile(rb"%[0-9A-Fa-f]{2}|\\[xX][0-9a-f]{2}|\xc2\xa0|[^0-9A-Za-z]")


def holds(data: bytes) -> bool:
    """Whether +12065550123 stands in *data*, in any way of writing it."""
    return bool(_CANARY.search(_SEPARATORS.sub(b"", data)))


async def everything(database_url: str, data_dir: Path) -> dict[str, bytes]:
    """Every row of every table, bytes as they are and the rest as text, and every file of *data_dir*."""
    connection = await connect(database_url)
    found: dict[str, bytes] = {}
    tables = await connection.fetch(
        "SELECT relname FROM pg_class WHERE relnamespace = 'postback'::regnamespace AND relkind = 'r'"
    )
    for table in tables:
        for number, row in enumerate(await connection.fetch(f'SELECT * FROM postback."{table[0]}"')):  # noqa: S608
            values = [value if isinstance(value, bytes) else str(value).encode() for value in row.values()]
            found[f"{table[0]} {number}"] = b"\n\n\n".join(values)
    await connection.close()
    return found | await asyncio.to_thread(_files, data_dir)


def _files(data_dir: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in data_dir.rglob("*") if path.is_file()}
