"""Callers over keep-alive connections. They share the cores with what they measure, so they are cheap."""

import asyncio
import gc
import itertools
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter
from typing import cast

#: seconds for the answers that are still open when the time is up
PATIENCE = 30.0


@dataclass(slots=True)
class Measured:
    """One run. *seconds* is its counted part, *latencies* are seconds of the answers within it.

    *acknowledged* holds the serial number of every request that was answered 200, counted or not.
    """

    seconds: float
    statuses: Counter[int] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)
    acknowledged: list[int] = field(default_factory=list)
    dropped: int = 0

    @property
    def rate(self) -> float:
        """Acknowledgements per second."""
        return len(self.latencies) / self.seconds

    def latency(self, share: float) -> float:
        """Milliseconds within which *share* of the callers had their answer."""
        ordered = sorted(self.latencies)
        return ordered[min(int(share * len(ordered)), len(ordered) - 1)] * 1000 if ordered else 0.0

    def count(self, caller: "Caller", status: int, now: float, *, counted: bool) -> None:
        """An answer to *caller*; its latency where it is *counted*."""
        self.statuses[status] += 1
        if status == 200:
            self.acknowledged.append(caller.serial)
            if counted:
                self.latencies.append(now - caller.since)


async def closed(
    address: tuple[str, int],
    request: Callable[[int], bytes],
    serials: "itertools.count[int]",
    *,
    connections: int,
    warm_up: float,
    seconds: float,
) -> Measured:
    """A closed loop: calls *address* with ``request(serial)`` over each connection, the next when the last is
    answered.

    Answers of the first *warm_up* seconds are not counted. Raises ``TimeoutError`` when answers stay away.
    """
    measured = Measured(seconds)

    def answered(caller: "Caller", status: int, now: float) -> None:
        measured.count(caller, status, now, counted=begin <= now < end)
        if now < end:
            caller.call(next(serials), now)
        else:
            caller.rest()

    callers = await connect(address, request, connections, answered, measured)
    with undisturbed():
        begin = perf_counter() + warm_up
        end = begin + seconds
        for caller in callers:
            caller.call(next(serials), perf_counter())
        await _all(callers, begin - perf_counter() + seconds)
    return measured


async def opened(
    address: tuple[str, int],
    request: Callable[[int], bytes],
    serials: "itertools.count[int]",
    *,
    rate: float,
    connections: int,
    warm_up: float,
    seconds: float,
) -> Measured:
    """An open loop: *rate* requests a second come whether the last ones are answered or not, as carriers'
    do. Latencies count from the moment when a request was due, so a server that stalls pays for all who had
    to wait for it.
    """
    measured = Measured(seconds)
    idle: deque[Caller] = deque()
    overdue: deque[float] = deque()

    def answered(caller: Caller, status: int, now: float) -> None:
        measured.count(caller, status, now, counted=begin <= caller.since < end)
        if overdue:
            caller.call(next(serials), overdue.popleft())
        elif now < end:
            idle.append(caller)
        else:
            caller.rest()

    callers = await connect(address, request, connections, answered, measured)
    idle.extend(callers)
    with undisturbed():
        first = perf_counter()
        begin, end = first + warm_up, first + warm_up + seconds
        sent = 0
        while (now := perf_counter()) < end:
            for place in range(sent, int((now - first) * rate) + 1):
                due = first + place / rate
                if idle:
                    idle.popleft().call(next(serials), due)
                else:
                    overdue.append(due)
                sent = place + 1
            await asyncio.sleep(0.0005)
        for caller in idle:
            caller.rest()
        await _all(callers, 0)
    return measured


class Caller(asyncio.Protocol):
    """One connection with at most one request on its way, due at *since*."""

    _transport: asyncio.Transport

    def __init__(
        self,
        request: Callable[[int], bytes],
        answered: "Callable[[Caller, int, float], None]",
        dropped: "Callable[[Caller], None]",
    ) -> None:
        self._request, self._answered, self._dropped = request, answered, dropped
        self._received = b""
        self.serial, self.since = 0, 0.0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are transports by behaviour only

    def call(self, serial: int, since: float) -> None:
        self.serial, self.since = serial, since
        self._transport.write(self._request(serial))

    def data_received(self, data: bytes) -> None:
        self._received = data = self._received + data if self._received else data
        status = _known.get(data) or _status(data)
        if status is not None:
            self._received = b""
            self._answered(self, status, perf_counter())

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self._dropped(self)

    def rest(self) -> None:
        """It has its answer, and calls no more."""
        if not self.done.done():
            self.done.set_result(None)

    def close(self) -> None:
        self._transport.close()


async def connect(
    address: tuple[str, int],
    request: Callable[[int], bytes],
    connections: int,
    answered: Callable[[Caller, int, float], None],
    measured: Measured,
) -> list[Caller]:
    def dropped(caller: Caller) -> None:
        measured.dropped += 1
        caller.rest()

    callers = [Caller(request, answered, dropped) for _ in range(connections)]
    loop = asyncio.get_running_loop()
    for caller in callers:
        await loop.create_connection(lambda caller=caller: caller, *address)  # type: ignore[misc]
    return callers


@contextmanager
def undisturbed() -> Iterator[None]:
    """Without collections of garbage, which would be taken for the server's."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


async def _all(callers: list[Caller], seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds + PATIENCE):
            await asyncio.gather(*(caller.done for caller in callers))
    finally:
        for caller in callers:
            caller.close()


#: whole answers that came before: servers repeat themselves to the byte, and reading one is dear
_known: dict[bytes, int] = {}


def _status(data: bytes) -> int | None:
    """The status of a whole answer; None while there is more to come."""
    head, end, body = data.partition(b"\r\n\r\n")
    if not end:
        return None
    lines = head.lower().split(b"\r\n")
    lengths = [int(line[15:]) for line in lines if line.startswith(b"content-length:")]
    if len(body) < (lengths[0] if lengths else 0):
        return None
    status = int(lines[0].split(b" ", 2)[1])
    if len(_known) < 1000:
        _known[data] = status
    return status
