"""Files that no row names any more."""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta

from receiver.db import Connection
from receiver.media.store import Place
from receiver.sql import qualified

#: A file is written before the row that names it, and the row may wait in the spool for as long as Postgres
#: is away.
GRACE = timedelta(days=7)


@dataclass(slots=True)
class Freed:
    files: int = 0
    bytes: int = 0


async def sweep(place: Place, connection: Connection, schema: str, now: datetime) -> Freed:
    """Removes what has lain for `GRACE` without a row; storing it again makes a file new.

    Raises ``OSError`` where the place does not answer.
    """
    known = qualified("SELECT sha256 FROM postback.file WHERE sha256 = ANY ($1)", schema)
    freed, before = Freed(), (now - GRACE).timestamp()
    parts = place.old(before)
    while (old := await asyncio.to_thread(next, parts, None)) is not None:
        if old:
            named = {row["sha256"] for row in await connection.fetch(known, old)}
            unused = [digest for digest in old if digest not in named]
            files, size = await asyncio.to_thread(place.discard, unused, before)
            freed.files += files
            freed.bytes += size
    return freed
