"""How far a subscriber has come, while what it is sent is settled in any order."""

from collections import deque

from receiver.forward.parcel import Parcel


class Place:
    """Everything up to `settled` is delivered or has a row; everything up to *read* was looked at."""

    def __init__(self, start: int) -> None:
        self.read = start
        self._order: deque[Parcel] = deque()

    def add(self, parcel: Parcel) -> None:
        self.read = parcel.seq
        self._order.append(parcel)

    @property
    def settled(self) -> int:
        while self._order and self._order[0].recorded:
            self._order.popleft()
        return self._order[0].seq - 1 if self._order else self.read

    @property
    def ends(self) -> bool:
        """Whether nothing that was read is unsettled."""
        return self.settled == self.read
