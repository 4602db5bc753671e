"""The parts of a multipart body (RFC 2046, 5.1), one after the other, so that whoever reads them may stop."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

#: bytes of the headers of one part; those of a part with more are not read
LARGEST_HEAD = 8 * 1024

_HEAD_END = re.compile(rb"\r?\n\r?\n")


@dataclass(frozen=True, slots=True)
class Part:
    """A part: its *head* are its headers as they came, empty where it has none; then it has no *content*
    either. *closed*: a delimiter follows it."""

    head: bytes
    content: bytes
    closed: bool


def parts(body: bytes, boundary: bytes) -> Iterator[Part]:
    """Yields the parts, with bare line feeds too, and at the end what no delimiter closes.

    *boundary* is looked for in C, whatever stands between two of them.
    """
    delimiter = b"--" + boundary
    start = _first(body, delimiter)
    while start >= 0 and not body.startswith(b"--", start):
        found = body.find(b"\n" + delimiter, start)
        end = len(body) if found < 0 else found
        if found > start and body.startswith(b"\r", found - 1):
            end -= 1
        head = _HEAD_END.search(body, start, min(end, start + LARGEST_HEAD))
        if head is None:
            yield Part(b"", b"", found >= 0)
        else:
            yield Part(body[start : head.start()], body[head.end() : end], found >= 0)
        start = -1 if found < 0 else found + 1 + len(delimiter)


def _first(body: bytes, delimiter: bytes) -> int:
    """Where the first part begins, behind its delimiter; -1 where there is none."""
    begins = len(body) - len(body.lstrip())
    if body.startswith(delimiter, begins):
        return begins + len(delimiter)
    found = body.find(b"\n" + delimiter)
    return -1 if found < 0 else found + 1 + len(delimiter)
