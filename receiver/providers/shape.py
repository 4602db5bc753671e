"""How much a body may hold: looked at before any of it is read, because reading costs more than sending.

The counts are made in C over the bytes, so that they cost less than reading a body of that length once.
"""

from typing import Any

from models.events import Unreadable

#: reports and inbound messages in one request of a carrier's; more than these are kept unread, because a
#: transaction that cannot be done in its time would be refused again and again
MOST_EVENTS = 1000
#: values in a JSON body: `MOST_EVENTS` of fifty fields each
MOST_VALUES = 50 * MOST_EVENTS
#: levels of arrays and objects: an MMS of Swift API has several for each part in a part
MOST_LEVELS = 400
#: keys of one object
MOST_KEYS = 1000
#: fields of a form, or of a query
MOST_FIELDS = 1000
#: parts of a multipart form
MOST_PARTS = 100


def check_json(body: bytes) -> None:
    """Raises ``Unreadable`` where *body* may hold more than `MOST_VALUES` values, in whichever UTF.

    Every value but the first of an array or an object follows a comma, and every first one a bracket. Those
    in texts count as well: no message has so many.
    """
    if len(body) > MOST_VALUES and body.count(b",") + _brackets(body) > MOST_VALUES:
        raise Unreadable(f"the body holds more than {MOST_VALUES} values; it is kept unread")


def check_nesting(found: Any, body: bytes) -> None:
    """Raises ``Unreadable`` where *found*, which was read from *body*, has more than `MOST_LEVELS` levels or
    an object of more than `MOST_KEYS` keys."""
    if _brackets(body) <= MOST_LEVELS and body.count(b",") < MOST_KEYS:
        return  # as with nearly every body
    level = [found]
    for _ in range(MOST_LEVELS + 1):
        inside: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                if len(value) > MOST_KEYS:
                    raise Unreadable(
                        f"an object in the body has more than {MOST_KEYS} keys; it is kept unread"
                    )
                inside += value.values()
            elif isinstance(value, list):
                inside += value
        if not inside:
            return
        level = inside
    raise Unreadable("the body is JSON nested too deep")


def check_events(number: int) -> None:
    """Raises ``Unreadable`` where a body tells more than `MOST_EVENTS` events."""
    if number > MOST_EVENTS:
        raise Unreadable(f"the body tells {number} events; at most {MOST_EVENTS} are taken")


def _brackets(body: bytes) -> int:
    return body.count(b"[") + body.count(b"{")
