"""One SQLite file of waiting requests. It blocks: call it from the spool's own thread.

SQLite's write-ahead log with ``synchronous=FULL`` is what makes a record durable; the checksum in each
record is what shows that it came back as it was written.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

from receiver.rows import PayloadRow, wire_uuid

#: bytes of bodies that one look at the file reads into memory
_READ = 8 << 20
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

_COLUMNS = "id, received_at, channel, state, reason, method, query, headers, peer, base, body"
_TABLE = """
    CREATE TABLE IF NOT EXISTS record (
        seq INTEGER PRIMARY KEY, id BLOB NOT NULL, received_at INTEGER NOT NULL, channel TEXT NOT NULL,
        state TEXT NOT NULL, reason TEXT, method TEXT NOT NULL, query TEXT NOT NULL, headers TEXT NOT NULL,
        peer TEXT, base TEXT NOT NULL, body BLOB NOT NULL, checksum BLOB NOT NULL)
"""
_INSERT = f"INSERT INTO record (seq, {_COLUMNS}, checksum) VALUES (?{', ?' * 12})"  # noqa: S608
_SELECT = f"SELECT seq, {_COLUMNS}, checksum FROM record"  # noqa: S608 - nobody's words are in it

#: versions before this one kept there how the carrier had reached us, and read these files too
_NO_BASE = ""
Row = tuple[Any, ...]

#: a file that is damaged, that is no database, that is none of ours, or that ends too early
_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)


class Damaged(Exception):
    """The file, or a record in it, is not what was written."""


class Record(NamedTuple):
    """A request that waits, in the state that the door gave it: ``applied`` (to be parsed), ``quarantined``
    or ``unverified``. Whether it was authentic was settled then, and is never asked again: a check that
    looks at the clock would refuse it now."""

    payload: PayloadRow

    @property
    def authentic(self) -> bool:
        return self.payload.state != "unverified"


class Kept(NamedTuple):
    """*seq* is the record's number in its file, in the order of arrival."""

    seq: int
    record: Record


class SpoolFile:
    """The file at *path*, made where there is none. Raises ``sqlite3.Error``, and ``Damaged``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        #: how many there are, from `count` on and as far as this process knows
        self.records = 0
        path.touch(mode=0o600)
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5)
        try:
            self._connection.text_factory = bytes
            for pragma in ("auto_vacuum=INCREMENTAL", "journal_mode=WAL", "synchronous=FULL"):
                self._connection.execute(f"PRAGMA {pragma}")
            # numbers and texts of records that have left must not stay behind in free pages
            self._connection.execute("PRAGMA secure_delete=ON")
            self._connection.execute(_TABLE)
        except BaseException:
            self._connection.close()
            raise

    def close(self) -> None:
        self._connection.close()

    def begin(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """Returns when everything since `begin` would survive a loss of power."""
        self._connection.execute("COMMIT")

    def add(self, row: Row, seq: int | None = None) -> int:
        """The number under which *row*, what `packed` made, is added; *seq* is the next one unless given."""
        added = self._connection.execute(_INSERT, (seq, *row))
        self.records += 1
        return added.lastrowid or 0

    def first(self, limit: int, after: int = 0) -> list[Kept]:
        """The oldest records behind *after*: *limit* at most, fewer where they are large.

        Raises ``Damaged``.
        """
        found: list[Kept] = []
        size = 0
        for row in self._connection.execute(f"{_SELECT} WHERE seq > ? ORDER BY seq LIMIT ?", (after, limit)):
            found.append(unpacked(row))
            size += len(found[-1].record.payload.body)
            if size > _READ:
                break
        if not found and not after:
            self.records = 0  # whatever an erasure by another process took out
        return found

    def delete(self, kept: Sequence[Kept]) -> None:
        """Those that are still there: a number that became free, by an erasure or in a new file after damage,
        may be that of another record by now."""
        named = [(one.seq, bytes(one.record.payload.id.bytes)) for one in kept]
        deleted = self._connection.executemany("DELETE FROM record WHERE seq = ? AND id = ?", named)
        self.records -= deleted.rowcount

    def prove(self) -> None:
        """Writes something that changes nothing."""
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        self._connection.execute(f"PRAGMA user_version = {1 - version}")

    def count(self) -> int:
        (self.records,) = self._connection.execute("SELECT count(*) FROM record").fetchone()
        return self.records

    def size(self) -> int:
        """Bytes of disk that the records take."""
        pages, size, unused = (
            self._connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "page_size", "freelist_count")
        )
        return int((pages - unused) * size)

    def oldest(self) -> datetime | None:
        found = self._connection.execute("SELECT received_at FROM record ORDER BY seq LIMIT 1").fetchone()
        return _moment(found[0]) if found else None

    def identities(self) -> set[bytes]:
        """The ids of all records."""
        return {identity for (identity,) in self._connection.execute("SELECT id FROM record")}

    def shrink(self) -> None:
        """Gives the room of deleted records back to the disk, and leaves nothing of them in the log."""
        self._connection.execute("PRAGMA incremental_vacuum").fetchall()
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def readable(self) -> Iterator[Row]:
        """All rows that can still be read in a damaged file, from both ends towards the damage."""
        last = 0
        for order, beyond in (("seq > ? ORDER BY seq", 1), ("seq < ? ORDER BY seq DESC", -1)):
            at, misses = (0, 0) if beyond > 0 else (1 << 62, 0)
            while misses < 10_000:
                try:
                    row = self._connection.execute(f"{_SELECT} WHERE {order} LIMIT 1", (at,)).fetchone()
                except sqlite3.DatabaseError:
                    at, misses = at + beyond, misses + 1
                    continue
                if row is None:
                    return
                if beyond < 0 and row[0] <= last:
                    return
                at, misses = row[0], 0
                last = max(last, at) if beyond > 0 else last
                yield row


def is_damage(error: Exception) -> bool:
    """Whether *error* speaks of what lies in the file, and not of a disk that is full, away or failing."""
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", None)
        return code is not None and (code & 0xFF in _DAMAGE or code == sqlite3.SQLITE_IOERR_SHORT_READ)
    return isinstance(error, Damaged)


def packed(record: Record) -> Row:
    """*record* as it is written, with its checksum."""
    payload = record.payload
    reason = payload.reason and payload.reason.encode("utf-8", "replace").decode()
    row = (
        bytes(payload.id.bytes), (payload.received_at - _BEGINNING) // _MICROSECOND, payload.channel,
        payload.state, reason, payload.method, payload.query, payload.headers, payload.peer, _NO_BASE,
        payload.body,
    )  # fmt: skip
    return (*row, _checksum(row))


def unpacked(row: Row) -> Kept:
    """The record of *row*, as `SpoolFile` reads it: texts as bytes. Raises ``Damaged``."""
    seq, *fields, checksum = row
    if checksum != _checksum(fields):
        raise Damaged(f"record {seq} is not what was written")
    (identity, received_at, channel, state, reason, method, query, headers, peer, _, body) = fields
    payload = PayloadRow(
        wire_uuid(identity), channel.decode(), state.decode(), reason and reason.decode(), method.decode(),
        query.decode(), headers.decode(), body, peer and peer.decode(), _moment(received_at),
    )  # fmt: skip
    return Kept(seq, Record(payload))


def _moment(microseconds: int) -> datetime:
    return _BEGINNING + microseconds * _MICROSECOND


def _checksum(fields: Sequence[Any]) -> bytes:
    digest = blake2b(digest_size=16)
    for value in fields:
        if value is None:
            digest.update(b"-")
            continue
        data = value if isinstance(value, bytes) else str(value).encode()
        digest.update(b"%d:" % len(data))
        digest.update(data)
    return digest.digest()
