"""The bodies that a process has in hand: received and not yet answered, counted in bytes and bounded.

Whoever has shown nothing that a stranger could not shares a quarter of the room with all strangers, one
address a quarter of that; a channel whose callers have shown something has a quarter, and the API a half.
So neither strangers nor one caller keep others from being heard.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

#: bytes; four times the largest body of a channel where that is more
CAPACITY = 64 << 20
#: bytes of a body that came whole, at once, and is not counted: nobody holds room by sending it slowly
SMALL = 4096


#: the key of a request's scope that holds its `Body`
IN_HAND = "postback.in_hand"


class Crowded(Exception):
    """There is no room for more of a body; it will pass."""


@dataclass(frozen=True, slots=True)
class Share:
    """A part of the room: *most* bytes of it at once, for all that go by *name*."""

    name: str
    most: int


class InHand:
    """The room of one process, of which no body of a channel takes more than *largest* bytes."""

    def __init__(self, largest: int, capacity: int = CAPACITY) -> None:
        self.capacity = max(capacity, 4 * largest)
        self.size = 0
        self._by_share: Counter[str] = Counter()

    def of_channel(self, name: str, largest: int) -> "Body":
        """The body of a caller who has shown what the channel's callers know, or calls from where they do."""
        return Body(self, [Share(f"channel {name}", max(self.capacity // 4, 2 * largest))])

    def of_stranger(self, peer: str | None, largest: int) -> "Body":
        """The body of a caller who has shown nothing, or something wrong."""
        quarter = max(self.capacity // 4, largest)
        return Body(
            self, [Share("strangers", quarter), Share(f"stranger {peer}", max(quarter // 4, largest))]
        )

    def of_api(self) -> "Body":
        return Body(self, [Share("the API", self.capacity // 2)])

    def take(self, shares: Sequence[Share], size: int) -> None:
        """Raises ``Crowded``, and then takes nothing."""
        if not self.has_room(shares, size):
            raise Crowded
        self.size += size
        for share in shares:
            self._by_share[share.name] += size

    def has_room(self, shares: Sequence[Share], size: int) -> bool:
        return self.size + size <= self.capacity and all(
            self._by_share[share.name] + size <= share.most for share in shares
        )

    def give_back(self, shares: Sequence[Share], size: int) -> None:
        self.size -= size
        for share in shares:
            self._by_share[share.name] -= size
            if not self._by_share[share.name]:
                del self._by_share[share.name]


class Body:
    """The body of one request, as it comes."""

    __slots__ = ("_in_hand", "_shares", "_size")

    def __init__(self, in_hand: InHand, shares: Sequence[Share]) -> None:
        self._in_hand, self._shares, self._size = in_hand, shares, 0

    def announced(self, size: int) -> None:
        """Raises ``Crowded`` where there is no room for *size* bytes now."""
        if not self._in_hand.has_room(self._shares, size):
            raise Crowded

    def came(self, size: int, *, whole: bool) -> None:
        """Takes room for *size* bytes more; *whole* says that they are the last. Raises ``Crowded``."""
        if not (whole and size <= SMALL and not self._size):
            self._in_hand.take(self._shares, size)
            self._size += size

    def answered(self) -> None:
        """Gives the room back."""
        if self._size:
            self._in_hand.give_back(self._shares, self._size)
            self._size = 0
