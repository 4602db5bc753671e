"""Taking records out of spools by what is in them, and seeing how many wait, from any process."""

import re
from collections.abc import Collection, Iterator
from contextlib import closing
from pathlib import Path

from receiver.spool import claim, damage
from receiver.spool.file import Kept, Record, SpoolFile

#: bytes; a piece of a file that is masked in place, read with what a form could need of the next one
_PIECE = 1 << 20


def waiting(data_dir: Path) -> int:
    """Records in all spools of *data_dir*, whoever owns them. Raises ``OSError`` and ``sqlite3.Error``."""
    total = 0
    _mend(claim.directory(data_dir))
    for path in _files(claim.directory(data_dir)):
        with closing(SpoolFile(path)) as file:
            total += file.count()
    return total


def erase(data_dir: Path, forms: Collection[str]) -> int:
    """Removes every record, of a request or an answer, that holds one of *forms*, such as a number's digits,
    anywhere; the number of records removed. Raises ``OSError`` and ``sqlite3.Error``.

    The files of living processes are reached as well: SQLite keeps writers apart. What such a process has
    read a moment ago is on its way into Postgres, so erase here first and in Postgres after that. In files
    that were set aside the forms are written over where they stand: nothing there can be relied on.
    """
    found = [form.encode() for form in forms if form]
    if not found:
        return 0
    wanted = re.compile(b"|".join(map(re.escape, found)))
    removed = 0
    for where in (claim.directory(data_dir), claim.answers(data_dir)):
        _mend(where)
        for path in _files(where):
            with closing(SpoolFile(path)) as file:
                removed += _erased(file, wanted)
        for path in (where / damage.DIRECTORY).glob("*"):
            _mask(path, wanted, max(map(len, found)))
    return removed


def _mend(where: Path) -> None:
    """Opens what nobody owns as its next owner would: the last one to close a file takes its log away, and
    with it what lies behind damage there."""
    for claimed in claim.free(where):
        try:
            damage.opened(claimed.path).close()
        finally:
            claimed.release()


def _erased(file: SpoolFile, wanted: re.Pattern[bytes]) -> int:
    file.begin()
    found = [kept for kept in _all(file) if _holds(kept.record, wanted)]
    file.delete(found)
    file.commit()
    file.shrink()
    return len(found)


def _all(file: SpoolFile) -> Iterator[Kept]:
    after = 0
    while kept := file.first(256, after):
        yield from kept
        after = kept[-1].seq


def _holds(record: Record, wanted: re.Pattern[bytes]) -> bool:
    payload = record.payload
    texts = (payload.query, payload.headers, payload.reason or "", payload.peer or "")
    return any(wanted.search(data) for data in (payload.body, *(text.encode() for text in texts)))


def _files(where: Path) -> list[Path]:
    return sorted(where.glob(f"*{claim.SUFFIX}"))


def _mask(path: Path, wanted: re.Pattern[bytes], longest: int) -> None:
    with path.open("r+b") as file:
        at = 0
        while piece := file.read(_PIECE + longest):
            masked = wanted.sub(lambda match: b"*" * len(match[0]), piece)
            if masked != piece:
                file.seek(at)
                file.write(masked)
            at += _PIECE
            file.seek(at)
