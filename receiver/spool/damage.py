"""What to do with a file that is not what was written: keep it, save what can be read, go on with that."""

import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from mmap import ACCESS_READ, mmap
from pathlib import Path
from tempfile import TemporaryFile

import structlog

from receiver.spool import claim
from receiver.spool.claim import SUFFIX, Claim
from receiver.spool.file import Damaged, Record, SpoolFile, packed, unpacked
from receiver.spool.salvage import Log

log = structlog.get_logger()

DIRECTORY = "damaged"


def count(where: Path) -> int:
    """Files that were set aside and lie there still."""
    return sum(1 for _ in (where / DIRECTORY).glob(f"*{SUFFIX}"))


def keep(where: Path, record: Record) -> None:
    """*record* among what was set aside. Raises ``OSError`` and ``sqlite3.Error``."""
    aside = where / DIRECTORY
    claim.made(aside)
    file = SpoolFile(aside / f"refused{SUFFIX}")
    try:
        file.begin()
        file.add(packed(record))
        file.commit()
    finally:
        file.close()
    log.error(
        "a request is refused in every form", payload_id=str(record.payload.id), set_aside=str(file.path)
    )


def rescue(damaged: Claim, reason: str) -> Claim:
    """A claim on a new file with every record that can be read; the damaged file is set aside.

    Everything saved is on disk before the damaged file is moved. A crash in between leaves both, and the
    same requests twice, which Postgres takes for once. Raises ``OSError`` and ``sqlite3.Error`` when the
    new file cannot be written.
    """
    where = damaged.path.parent
    fresh = claim.new(where)
    try:
        saved, lost = _copy(damaged.path, fresh.path)
        kept = _move(damaged.path)
    except BaseException:
        fresh.release()
        raise
    damaged.release()
    damaged.path.with_suffix(".lock").unlink(missing_ok=True)
    log.error("the spool was damaged", reason=reason, saved=saved, unreadable=lost, set_aside=str(kept))
    return fresh


def opened(path: Path) -> SpoolFile:
    """The file at *path*. Commits in its write-ahead log that SQLite could not read back are reported, what
    is whole in them is saved into the file, and a copy of both is set aside.

    SQLite ends a log at its first damaged frame without a word, which is right for the torn end of a
    crash. A whole commit beyond that point was a record that somebody was promised. The log is looked at
    before anybody writes to the file: that would go where the frames lie that SQLite does not know of.

    Raises what `SpoolFile` does.
    """
    with _as_it_lies(path.with_name(f"{path.name}-wal")) as data:
        if data is None:
            return SpoolFile(path)
        with closing(sqlite3.connect(path)) as connection:
            (page_size,) = connection.execute("PRAGMA page_size").fetchone()
            (_, read, _) = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            read, lying = max(read, 0), Log(data, page_size)
            unread = max(0, lying.written - read)
            kept = _set_aside(path, connection, data) if unread else None
        file = SpoolFile(path)
        if kept:
            try:
                saved = _save(file, lying.records(read))
            except BaseException:
                file.close()
                raise
            said = "the end of the spool's log cannot be read"
            log.error(said, frames=unread, saved=saved, set_aside=str(kept))
        return file


@contextmanager
def _as_it_lies(path: Path) -> Iterator[mmap | None]:
    """A copy of the log that goes with this process, None where there is no log, or no room."""
    with ExitStack() as stack:
        try:
            copy = stack.enter_context(TemporaryFile(dir=path.parent))
            with path.open("rb") as log_file:
                shutil.copyfileobj(log_file, copy)
            copy.flush()
            data = stack.enter_context(mmap(copy.fileno(), 0, access=ACCESS_READ))
        except (OSError, ValueError):  # the latter for one that is empty
            yield None
        else:
            yield data


def _set_aside(path: Path, connection: sqlite3.Connection, data: mmap) -> Path:
    kept = _free_name(path.parent / DIRECTORY, path.name)
    claim.made(kept.parent)
    kept.touch(mode=0o600)
    with closing(sqlite3.connect(kept)) as other:
        connection.backup(other)
    kept.with_name(f"{kept.name}-wal").write_bytes(data)
    return kept


def _save(file: SpoolFile, records: Sequence[Record]) -> int:
    """The number of those that were not there."""
    known = file.identities()
    new = [record for record in records if record.payload.id.bytes not in known]
    file.begin()
    for record in new:
        file.add(packed(record))
    file.commit()
    return len(new)


def _copy(source: Path, target: Path) -> tuple[int, int]:
    """Rows saved, and rows that are there but not as they were written."""
    saved = lost = 0
    fresh = SpoolFile(target)
    try:
        try:
            old = SpoolFile(source)
        except Exception as error:  # noqa: BLE001 - then nothing in it can be read
            log.error("nothing in the damaged spool can be read", reason=str(error))
            return 0, 0
        try:
            fresh.begin()
            for row in old.readable():
                try:
                    unpacked(row)
                except (Damaged, ValueError):
                    lost += 1
                    continue
                fresh.add(tuple(_as_written(row[1:])), row[0])
                saved += 1
            fresh.commit()
        finally:
            old.close()
    finally:
        fresh.close()
    return saved, lost


def _as_written(row: tuple[object, ...]) -> list[object]:
    """Texts are read as bytes, and have to be texts again."""
    (identity, received_at, *texts, body, checksum) = row
    decoded = [text.decode() if isinstance(text, bytes) else text for text in texts]
    return [identity, received_at, *decoded, body, checksum]


def _move(path: Path) -> Path:
    aside = path.parent / DIRECTORY
    claim.made(aside)
    kept = _free_name(aside, path.name)
    for part, target in zip(claim.parts(path), claim.parts(kept), strict=True):
        if part.exists():
            part.rename(target)
    return kept


def _free_name(aside: Path, name: str) -> Path:
    stem, number = name.removesuffix(SUFFIX), 0
    while (aside / name).exists():
        number += 1
        name = f"{stem}.{number}{SUFFIX}"
    return aside / name
