"""What the practice carriers received and sent, the newest 10,000 entries of it."""

from collections import deque
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import orjson

CAPACITY = 10_000
MAX_BODY = 8_192

Entry = dict[str, Any]


class Journal:
    """Entries numbered from 1 by ``seq``. An entry grows after it was written: an answer, another try."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque(maxlen=CAPACITY)
        self._last = 0

    def add(self, kind: str, body: bytes, **facts: Any) -> Entry:
        self._last += 1
        entry = {"seq": self._last, "at": now(), "kind": kind, **facts, "body": body[: MAX_BODY + 1]}
        self._entries.append(entry)
        return entry

    def page(self, *, after: int = 0, limit: int = CAPACITY, kind: str | None = None) -> list[Entry]:
        """The oldest *limit* entries whose ``seq`` is above *after*."""
        first = self._last - len(self._entries) + 1
        rest = islice(self._entries, max(0, after + 1 - first), None)
        wanted = (entry for entry in rest if kind in (None, entry["kind"]))
        return [shown(entry) for entry in islice(wanted, limit)]


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def shown(entry: Entry) -> Entry:
    """*entry* as the routes show it."""
    return entry | {"body": _readable(entry["body"])}


def _readable(body: bytes) -> Any:
    """A JSON body goes into the page as it came; anything else, or too much of it, as text."""
    if len(body) <= MAX_BODY:
        try:
            orjson.loads(body)
        except orjson.JSONDecodeError:
            pass
        else:
            return orjson.Fragment(body)
    return body[:MAX_BODY].decode(errors="replace")
