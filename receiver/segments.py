"""How many parts an SMS takes: GSM-7 where its alphabet suffices, else UCS-2 (3GPP TS 23.038 and 23.040).

Counted by filling parts one after the other, never by dividing: a character of two septets (``{``, ``€``)
and a surrogate pair do not straddle two parts, so a part may end one unit early.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache

import gsmcodecs  # noqa: F401 - registers the codec

_CODEC = "gsm23.038"
#: units in a message of one part, and in each part of several (an 8-bit reference takes the rest)
_GSM, _UCS2 = (160, 153), (70, 67)


def count(text: str) -> int:
    """The number of parts; an empty text is one."""
    return len(split(text))


def split(text: str) -> list[str]:
    """*text* in the parts in which it travels."""
    gsm = all(map(_septets, text))
    cost: Callable[[str], int] = _septets if gsm else _units
    single, each = _GSM if gsm else _UCS2
    if sum(map(cost, text)) <= single:
        return [text]
    return list(_filled(text, cost, each))


def _filled(text: str, cost: Callable[[str], int], room: int) -> Iterator[str]:
    start = used = 0
    for place, character in enumerate(text):
        size = cost(character)
        if used + size > room:
            yield text[start:place]
            start, used = place, 0
        used += size
    yield text[start:]


@lru_cache(maxsize=4096)
def _septets(character: str) -> int:
    """1, 2 for a character of the extension table, 0 for one that GSM-7 lacks."""
    try:
        return len(character.encode(_CODEC))
    except UnicodeEncodeError:
        return 0


def _units(character: str) -> int:
    return 2 if ord(character) > 0xFFFF else 1
