"""``Retry-After`` (RFC 9110, section 10.2.3): when whoever answered wants to be asked again.

Pure: the clock is its caller's, and counts only where the answer has no ``Date`` of its own.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

#: seconds; nobody is obeyed for longer
LONGEST = 86400.0
#: characters; no date and no sensible number is longer
_LONGEST_TEXT = 512

_SECONDS = re.compile(r"[+-]?\d+(\.\d*)?", re.ASCII)


def given(headers: Mapping[str, str]) -> bool:
    """Returns whether *headers* ask for a pause at all, readable or not; their names may be in any case."""
    return bool(_value(headers, "retry-after"))


def seconds(headers: Mapping[str, str], now: datetime | None) -> float | None:
    """Returns the pause that *headers* ask for, 0 to `LONGEST` seconds; None where they give none that can
    be read.

    It is a number of seconds, decimals included, or a date in one of HTTP's three forms. A date is held
    against the answer's own ``Date``, so that the two machines' clocks need not agree, and against *now* only
    where the answer has none.
    """
    asked = _value(headers, "retry-after")
    if len(asked) <= _LONGEST_TEXT and _SECONDS.fullmatch(asked):
        return _bounded(float(asked))
    until, since = _date(asked), _date(_value(headers, "date")) or now
    return _bounded((until - since).total_seconds()) if until and since else None


def _bounded(pause: float) -> float:
    return min(max(pause, 0.0), LONGEST)


def _value(headers: Mapping[str, str], wanted: str) -> str:
    return next((value.strip() for name, value in headers.items() if name.lower() == wanted), "")


def _date(text: str) -> datetime | None:
    """Returns a date of RFC 9110, section 5.6.7: today's form, that of RFC 850, or that of asctime."""
    if not text or len(text) > _LONGEST_TEXT:
        return None
    try:
        read = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    # asctime's form names no zone, and HTTP's dates are all in UTC
    return read.replace(tzinfo=UTC) if read.tzinfo is None else read
