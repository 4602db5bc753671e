"""Records in commits that SQLite does not read back from its write-ahead log.

SQLite takes a log from its beginning up to the first frame that is not what was written, because each
frame's checksum goes on from that of the one before it. The pages behind that place may be whole all the same
and the records in them prove themselves, so nothing here trusts a page's own words on where its records are:
they are searched for by how they begin (https://sqlite.org/fileformat.html, sections 1.6, 2.1 and 4.1).
"""

import re
import struct
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from mmap import mmap
from typing import NamedTuple

from receiver.spool.file import Damaged, Record, Row, unpacked

_HEADER, _FRAME = 32, 24
#: the columns of a record: its number, which SQLite keeps elsewhere, what `packed` makes, and no more
_COLUMNS = 13
#: the length of a record's header, then the types of a NULL, of 16 bytes, and of a whole number of 6 or 8
_BEGINNING = re.compile(rb"(?=[\x0e-\x7f]\x00\x2c[\x05\x06])")
_WHOLE_NUMBERS = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}


class _Page(NamedTuple):
    """A frame's: *commits* where it ends a commit."""

    number: int
    commits: bool
    at: int


class Log:
    """A write-ahead log as it lay on disk before SQLite opened it, with pages of *page_size* bytes."""

    def __init__(self, data: mmap, page_size: int) -> None:
        self._data, self._page_size = data, page_size
        pages = list(self._frames())
        #: frames of the present round up to its last commit, whole or not
        self.written = max((number for number, page in enumerate(pages, 1) if page.commits), default=0)
        self._pages = pages[: self.written]

    def records(self, read: int) -> list[Record]:
        """Those in frames behind the first *read*, the oldest first, each once. What was deleted there by a
        later commit is among them."""
        found: dict[bytes, Record] = {}
        latest: dict[int, int] = {}
        lost: list[int] = []
        for number, page in enumerate(self._pages, 1):
            latest[page.number] = page.at
            if number > read:
                lost.append(page.at)
            if page.commits:  # the pages that a record goes on in are those of its own commit
                for at in lost:
                    self._find(at, latest, found)
                lost = []
        return sorted(found.values(), key=lambda record: record.payload.received_at)

    def _frames(self) -> Iterator[_Page]:
        length = _FRAME + self._page_size
        places = range(_HEADER, len(self._data) - length + 1, length)
        salts = Counter([self._data[16:24], *(self._data[at + 8 : at + 16] for at in places[:2])])
        [(salt, _)] = salts.most_common(1)
        for at in places:
            number, size = struct.unpack(">II", self._data[at : at + 8])
            given = self._data[at + 8 : at + 16]
            # either half may be what is damaged; both are others in what an earlier round has left
            ours = given[:4] == salt[:4] or given[4:] == salt[4:]
            yield _Page(number, ours and size > 0, at + _FRAME)

    def _page(self, at: int) -> bytes:
        return self._data[at : at + self._page_size]

    def _find(self, at: int, latest: Mapping[int, int], found: dict[bytes, Record]) -> None:
        """Adds the records that begin in the page *at*."""
        page = self._page(at)
        for match in _BEGINNING.finditer(page):
            start = match.start()
            identity = page[start + page[start] :][:16]
            row = None if identity in found else self._row(page, start, latest)
            if row is None:
                continue
            with suppress(Damaged, ValueError):
                found[identity] = unpacked(row).record

    def _row(self, page: bytes, start: int, latest: Mapping[int, int]) -> Row | None:
        kinds = _varints(page[start + 1 : start + page[start]])
        sizes = [_size(kind) for kind in kinds]
        length = page[start] + sum(sizes)
        if len(kinds) != _COLUMNS or length > len(self._data):
            return None
        local = self._local(length)
        parts = [page[start : start + local]]
        following = page[start + local : start + local + 4]
        for _ in range(local, length, self._page_size - 4):
            place = latest.get(int.from_bytes(following))
            if place is None:
                return None
            more = self._page(place)
            parts.append(more[4:])
            following = more[:4]
        data, values, at = b"".join(parts), list[int | bytes | None](), page[start]
        for kind, size in zip(kinds, sizes, strict=True):
            values.append(_value(kind, data[at : at + size]))
            at += size
        return (0, *values[1:])

    def _local(self, length: int) -> int:
        """Bytes of a record of *length* that are in its first page."""
        size = self._page_size
        if length <= size - 35:
            return length
        least = (size - 12) * 32 // 255 - 23
        most = least + (length - least) % (size - 4)
        return most if most <= size - 35 else least


def _varints(data: bytes) -> list[int]:
    found, value = [], 0
    for byte in data:
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            found.append(value)
            value = 0
    return found


def _size(kind: int) -> int:
    return _WHOLE_NUMBERS.get(kind, 0) if kind < 12 else (kind - 12) // 2


def _value(kind: int, data: bytes) -> int | bytes | None:
    if kind >= 12:
        return data
    return int.from_bytes(data, signed=True) if kind in _WHOLE_NUMBERS else None
