"""The room for requests that are kept unproven: strangers fill neither the disk nor each other's place."""

import asyncio
import ipaddress
import time
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Sequence
from heapq import heapify, heappop, heappush
from typing import NamedTuple, Protocol
from uuid import UUID

from receiver import addresses
from receiver.metrics.definitions import UNVERIFIED_NOT_KEPT, UNVERIFIED_REMOVED
from receiver.waiting import Waiting

_waiting = Waiting("unverified requests")

#: seconds between two counts; in between, this process counts its own
RECOUNT = 10.0
#: seconds from a count that failed to the next
RETRY = 1.0
#: seconds for a count, and for removing what is too much
TURN = 5.0
#: of the room that a count finds, what all callers of one channel, and of one network on whatever channels,
#: may take until the next
OF_CHANNEL, OF_NETWORK = 0.75, 0.5
#: of the same room, what is held back for networks of which nothing was kept since the count
FOR_NEW = 0.1
#: what is counted between two counts: all, the first ones of networks for which room is held back, and
#: ``("channel", name)`` and ``("network", name)``
_Name = tuple[str, ...]
_ALL, _NEW = ("all",), ("new",)
#: of the whole room, what a count leaves free at least
FREE = 0.05


class Stored(NamedTuple):
    """*requests* with *size* bytes of bodies, headers and queries."""

    requests: int = 0
    size: int = 0

    def with_one(self, size: int) -> "Stored":
        return Stored(self.requests + 1, self.size + size)

    def within(self, other: "Stored", part: float = 1.0) -> bool:
        return self.requests <= other.requests * part and self.size <= other.size * part

    def leaves_any(self, other: "Stored", part: float) -> bool:
        """Returns whether some of *part* of *other* is left, in requests and in bytes."""
        return self.requests < other.requests * part and self.size < other.size * part


CAPACITY = Stored(10_000, 256 << 20)
#: what this process may have added since the last count; then it counts earlier
STRIDE = Stored(1_000, 32 << 20)


class Held(NamedTuple):
    """An unproven request that is kept, without what is in it."""

    id: UUID
    channel: str
    peer: str | None
    size: int


class Table(Protocol):
    """As `receiver.unverified_table.UnverifiedTable`."""

    async def count(self) -> Stored: ...

    async def oldest(self) -> Sequence[Held]: ...

    async def remove(self, ids: Collection[UUID]) -> int: ...


class UnverifiedStore:
    """Room for *capacity* of payloads in state ``unverified``, over all processes: but for what each may add
    between two counts, `STRIDE` and one request, and the first one of each channel.

    Between two counts the first one of each channel is kept however much others took: there are as many
    channels as the configuration has. Strangers have as many networks as they like, so the first ones of
    networks share `FOR_NEW` where the rest is taken.

    A count removes what is more than the capacity less `FREE`, the oldest of the greediest network of the
    greediest channel first. So nobody is kept out for good by others, and a flood replaces no more than that
    in `RECOUNT` seconds. *away* says that there is nobody to count: then it is the last count, and what this
    process kept since. What waits in a spool meanwhile is bounded by `receiver.spool`.
    """

    def __init__(
        self, table: Table, capacity: Stored = CAPACITY, away: Callable[[], bool] = lambda: False
    ) -> None:
        self._table, self._capacity, self._away = table, capacity, away
        self._counted = Stored()
        self._since: defaultdict[_Name, Stored] = defaultdict(Stored)
        self._count_at, self._failed = 0.0, False
        self._counting = asyncio.Lock()

    async def reserve(self, channel: str, peer: str | None, size: int) -> bool:
        """Whether one more of *size* bytes may be kept."""
        # everybody waits for a count that is under way: those who did not would all add to the last one
        async with self._counting:
            if not self._away() and self._is_due():
                await self._recount()
            names = self._places(("channel", channel), ("network", network(peer)), size)
            if not names:
                UNVERIFIED_NOT_KEPT.add()
            for name in names:
                self._since[name] = self._since[name].with_one(size)
            return bool(names)

    def _places(self, of_channel: _Name, of_network: _Name, size: int) -> Collection[_Name]:
        """Returns under which names one more of *size* bytes is counted; none where it is not kept."""
        room = Stored(*(most - held for most, held in zip(self._capacity, self._counted, strict=True)))
        if min(room) <= 0:
            return ()
        shares = {_ALL: 1 - FOR_NEW, of_channel: OF_CHANNEL, of_network: OF_NETWORK}
        if all(self._fits(name, size, room, part) for name, part in shares.items()):
            return shares.keys()
        if of_channel not in self._since:
            return shares.keys()
        if of_network not in self._since and self._since[_NEW].leaves_any(room, FOR_NEW):
            return (*shares, _NEW)
        return ()

    def _fits(self, name: _Name, size: int, room: Stored, part: float) -> bool:
        held = self._since.get(name)
        # the first one has its place however large it is
        return held is None or held.with_one(size).within(room, part)

    def _is_due(self) -> bool:
        early = not self._since.get(_ALL, Stored()).within(STRIDE) and not self._failed
        return early or time.monotonic() >= self._count_at

    async def _recount(self) -> None:
        try:
            async with asyncio.timeout(TURN):
                self._counted = await self._kept()
            self._since.clear()
            self._failed = False
            _waiting.worked(self)
        except Exception as error:  # noqa: BLE001 - a pool fails in many ways that all mean the same
            self._failed = True
            _waiting.failed(self, error)
        self._count_at = time.monotonic() + (RETRY if self._failed else RECOUNT)

    async def _kept(self) -> Stored:
        """Removes the surplus of the greediest; returns the requests that are kept after it."""
        counted = await self._table.count()
        if counted.within(self._capacity, 1 - FREE):
            return counted
        ids = await asyncio.to_thread(surplus, await self._table.oldest(), counted, self._capacity)
        UNVERIFIED_REMOVED.add(amount=await self._table.remove(ids))
        return await self._table.count()


def network(peer: str | None) -> str:
    """Returns the network of an address, as one caller may have all of it: of IPv4 24 bits, of IPv6 48; empty
    where *peer* is no address."""
    address = addresses.of_peer(peer)
    if address is None:
        return ""
    return str(ipaddress.ip_network((address, 24 if address.version == 4 else 48), strict=False))


def surplus(held: Sequence[Held], counted: Stored, capacity: Stored) -> list[UUID]:
    """Returns the ids of those of *held*, which come oldest first, that go so that `FREE` of *capacity* is
    free. Each is the oldest of the network that takes most of the channel that takes most; a request takes
    its part of the number and its part of the bytes."""
    channels: dict[str, dict[str, deque[Held]]] = defaultdict(lambda: defaultdict(deque))
    taken: defaultdict[tuple[str, ...], float] = defaultdict(float)

    def part(one: Held) -> float:
        return 1 / capacity.requests + one.size / capacity.size

    for one in held:
        of = network(one.peer)
        channels[one.channel][of].append(one)
        for name in ((one.channel,), (one.channel, of)):
            taken[name] += part(one)
    heaps = {
        channel: [(-taken[channel, of], of) for of in networks] for channel, networks in channels.items()
    }
    for heap in heaps.values():
        heapify(heap)
    gone: list[UUID] = []
    left = counted
    while heaps and not left.within(capacity, 1 - FREE):
        channel = max(heaps, key=lambda name: taken[name,])
        _, of = heappop(heaps[channel])
        one = channels[channel][of].popleft()
        gone.append(one.id)
        left = Stored(left.requests - 1, left.size - one.size)
        for name in ((channel,), (channel, of)):
            taken[name] -= part(one)
        if channels[channel][of]:
            heappush(heaps[channel], (-taken[channel, of], of))
        elif not heaps[channel]:
            del heaps[channel]
    return gone
