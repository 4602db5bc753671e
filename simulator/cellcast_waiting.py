"""The replies that wait at Cellcast until a customer fetches them and says that they are read."""

from collections.abc import Mapping
from typing import Any

import orjson

from simulator.cellcast_rules import envelope, failure
from simulator.practice import Answer

PER_PAGE = 25
CAPACITY = 10_000


class Waiting:
    """Replies by account, oldest first."""

    def __init__(self) -> None:
        self._replies: dict[str, list[tuple[str, dict[str, str]]]] = {}

    def keep(self, account: str, kind: str, reply: dict[str, str]) -> None:
        replies = self._replies.setdefault(account, [])
        replies.append((kind, reply))
        del replies[:-CAPACITY]

    def page(self, account: str, query: Mapping[str, str]) -> Answer:
        """``?page=`` from 1, 25 on each, ``?type=sms`` or ``mms``."""
        number, kind = query.get("page", "1"), query.get("type", "sms").upper()
        if not number.isdecimal() or int(number) < 1 or kind not in ("SMS", "MMS"):
            return failure("FIELD_INVALID")
        found = [reply for its_kind, reply in self._replies.get(account, []) if its_kind == kind]
        first = (int(number) - 1) * PER_PAGE
        shown = found[first : first + PER_PAGE]
        if not shown:
            # the page documents NOT_FOUND; customers have seen this instead, with text for both numbers
            empty: dict[str, Any] = {
                "page": {"count": "0", "number": int(number)},
                "total": "0",
                "responses": "",
            }
            return envelope(empty, "No Response are available!")
        pages = -(-len(found) // PER_PAGE)
        return envelope(
            {"page": {"count": pages, "number": int(number)}, "total": str(len(found)), "responses": shown},
            f"You have {len(found)} response(s)",
        )

    def read(self, account: str, body: bytes) -> Answer:
        """Takes away ``message_id``, one or a list, or all up to ``date_before``."""
        try:
            fields = orjson.loads(body)
        except orjson.JSONDecodeError:
            fields = None
        if not isinstance(fields, dict) or not fields.keys() & {"message_id", "date_before"}:
            return failure("FIELD_EMPTY")
        given = fields.get("message_id") or []
        ids = {str(name) for name in (given if isinstance(given, list) else [given])}
        before = str(fields.get("date_before") or "")
        replies = self._replies.get(account, [])
        kept = [
            (kind, reply)
            for kind, reply in replies
            if reply["message_id"] not in ids and reply["received_at"] >= before
        ]
        if len(kept) == len(replies):
            return failure("NOT_FOUND")
        self._replies[account] = kept
        return envelope([], "The responses are marked as read")
