"""What waits for one subscriber: in order per lane, and oldest first where only one may go."""

import heapq
from collections import deque
from itertools import count
from uuid import UUID

from receiver.forward.parcel import Parcel

Lane = tuple[str, bool]

#: every how many-th turn is a late one's, however much is in order
LATE = 8


class Queue:
    """Parcels in lanes, of which the first may go when it is due; and late ones, which wait for nobody.
    Times are those of the event loop."""

    def __init__(self) -> None:
        self.held: dict[UUID, Parcel] = {}
        self._lanes: dict[Lane, deque[Parcel]] = {}
        self._late: deque[Parcel] = deque()
        # both may hold what has gone meanwhile, or comes at another time: `_may_go` has the last word
        self._ready: deque[Parcel] = deque()
        self._resting: list[tuple[float, int, Parcel]] = []
        self._count, self._turns = count(), count(1)

    def __len__(self) -> int:
        return len(self.held)

    @property
    def empty(self) -> bool:
        """Whether no lane has anything; late ones do not count."""
        return not self._lanes

    def add(self, parcel: Parcel) -> None:
        self.held[parcel.id] = parcel
        lane = self._lanes.get(parcel.in_order)
        if lane is None:
            self._lanes[parcel.in_order] = deque((parcel,))
            self.due(parcel)
        else:
            lane.append(parcel)

    def add_late(self, parcel: Parcel) -> None:
        self.held[parcel.id] = parcel
        self._late.append(parcel)

    def due(self, parcel: Parcel) -> None:
        """It may go when its time has come, if it is the first of its lane."""
        if parcel.due:
            heapq.heappush(self._resting, (parcel.due, next(self._count), parcel))
        else:
            self._ready.append(parcel)

    def behind(self, parcel: Parcel) -> list[Parcel]:
        """Those that wait for it."""
        lane = self._lanes.get(parcel.in_order, ())
        return list(lane)[1:] if lane and lane[0] is parcel else []

    def first_of(self, parcel: Parcel) -> Parcel:
        """The one that *parcel* waits for, or itself."""
        return self._lanes[parcel.in_order][0]

    def leave(self, parcel: Parcel) -> None:
        """It is settled, or its lane goes on without it."""
        self.held.pop(parcel.id, None)
        lane = self._lanes.get(parcel.in_order)
        if lane is None or lane[0] is not parcel:
            return
        lane.popleft()
        if lane:
            self.due(lane[0])
        else:
            del self._lanes[parcel.in_order]

    def next(self, now: float) -> Parcel | None:
        while self._resting and self._resting[0][0] <= now:
            self._ready.append(heapq.heappop(self._resting)[2])
        if self._late and next(self._turns) % LATE == 0:
            return self._late.popleft()
        while self._ready:
            parcel = self._ready.popleft()
            if self._may_go(parcel, now):
                return parcel
        return self._late.popleft() if self._late else None

    def oldest(self, now: float) -> Parcel | None:
        """The oldest of all, if it is due, else a late one."""
        first = min((lane[0] for lane in self._lanes.values()), key=_number, default=None)
        if first is not None and first.due <= now:
            return first
        return self._late.popleft() if self._late else None

    def next_due(self, *, down: bool) -> float | None:
        """When somebody may go, None where that needs something to happen first."""
        if down:
            return min((lane[0] for lane in self._lanes.values()), key=_number).due if self._lanes else None
        return self._resting[0][0] if self._resting else None

    def hurry(self) -> None:
        """Everything is due now."""
        for lane in self._lanes.values():
            if lane[0].due:
                lane[0].due = 0.0
                self._ready.append(lane[0])
        self._resting.clear()

    def _may_go(self, parcel: Parcel, now: float) -> bool:
        lane = self._lanes.get(parcel.in_order)
        return lane is not None and lane[0] is parcel and not parcel.flying and parcel.due <= now


def _number(parcel: Parcel) -> tuple[int, int]:
    return parcel.number
