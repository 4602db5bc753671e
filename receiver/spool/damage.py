"""What to do with a file that is not what was written: keep it, save what can be read, go on with that."""

import shutil
import struct
from pathlib import Path

import structlog

from receiver.spool import claim
from receiver.spool.claim import SUFFIX, Claim
from receiver.spool.file import Damaged, Record, SpoolFile, packed, unpacked

log = structlog.get_logger()

DIRECTORY = "damaged"
_HEADER, _FRAME_HEADER = 32, 24


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


def check_log(file: SpoolFile) -> None:
    """Reports commits in the write-ahead log that SQLite could not read back, and sets a copy of it aside.

    SQLite ends a log at its first damaged frame without a word, which is right for the torn end of a
    crash. A whole commit beyond that point was a record that somebody was promised.
    """
    path = file.path.with_name(f"{file.path.name}-wal")
    try:
        written = _last_commit(path)
    except OSError:
        return
    read = file.logged()
    if written <= read:
        return
    kept = _free_name(file.path.parent / DIRECTORY, file.path.name)
    claim.made(kept.parent)
    file.copy(kept)
    shutil.copy(path, kept.with_name(f"{kept.name}-wal"))
    log.error("the end of the spool's log cannot be read", frames=written - read, set_aside=str(kept))


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


def _last_commit(path: Path) -> int:
    """The number of the log's last frame that ends a commit of the present round, by its header alone."""
    with path.open("rb") as wal:
        header = wal.read(_HEADER)
        if len(header) < _HEADER:
            return 0
        (page_size, salt) = struct.unpack(">I", header[8:12])[0], header[16:24]
        last = number = 0
        while len(frame := wal.read(_FRAME_HEADER)) == _FRAME_HEADER:
            number += 1
            if frame[8:16] == salt and frame[4:8] != bytes(4) and len(wal.read(page_size)) == page_size:
                last = number
                continue
            wal.seek(_HEADER + number * (_FRAME_HEADER + page_size))
    return last
