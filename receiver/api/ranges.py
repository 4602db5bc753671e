"""Which part of a file a request asks for (RFC 9110, section 14)."""

import re

_ONE_RANGE = re.compile(r"\s*+bytes\s*+=\s*+(\d{0,18})\s*+-\s*+(\d{0,18})\s*+", re.IGNORECASE | re.ASCII)


class Unsatisfiable(Exception):
    """It asks for what lies beyond the end."""


def asked_for(header: str | None, size: int) -> tuple[int, int] | None:
    """The first byte and the one after the last, None for the whole: of several ranges, of other units and of
    nonsense, a server may take no notice. Raises ``Unsatisfiable``."""
    found = _ONE_RANGE.fullmatch(header or "")
    if found is None or not (found[1] or found[2]):
        return None
    if not found[1]:
        start, end = max(size - int(found[2]), 0), size
    else:
        start, end = int(found[1]), min(int(found[2]) + 1 if found[2] else size, size)
        if found[2] and int(found[2]) < start:
            return None
    if start >= end:
        raise Unsatisfiable
    return start, end
