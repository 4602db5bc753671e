"""Callers in a closed loop over keep-alive connections, as cheap as they can be: they share the cores with
what they measure."""

import asyncio
import gc
import itertools
from collections import Counter
from collections.abc import Callable
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


async def run(
    address: tuple[str, int],
    request: Callable[[int], bytes],
    serials: "itertools.count[int]",
    *,
    connections: int,
    warm_up: float,
    seconds: float,
) -> Measured:
    """Calls *address* with ``request(serial)`` over each connection, the next when the last is answered.

    Answers of the first *warm_up* seconds are not counted. Raises ``TimeoutError`` when answers stay away.
    """
    loop = asyncio.get_running_loop()
    measured = Measured(seconds)
    begin = perf_counter() + warm_up
    callers = [_Caller(request, serials, measured, begin) for _ in range(connections)]
    for caller in callers:
        await loop.create_connection(lambda caller=caller: caller, *address)  # type: ignore[misc]
    gc.collect()
    gc.disable()
    try:
        for caller in callers:
            caller.call()
        await asyncio.wait_for(
            asyncio.gather(*(caller.done for caller in callers)), begin - perf_counter() + seconds + PATIENCE
        )
    finally:
        gc.enable()
        for caller in callers:
            caller.close()
    return measured


class _Caller(asyncio.Protocol):
    """One connection with one request on its way."""

    _transport: asyncio.Transport

    def __init__(
        self,
        request: Callable[[int], bytes],
        serials: "itertools.count[int]",
        measured: Measured,
        begin: float,
    ) -> None:
        self._request, self._serials, self._measured = request, serials, measured
        self._begin, self._end = begin, begin + measured.seconds
        self._received = b""
        self._serial, self._since = 0, 0.0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are transports by behaviour only

    def call(self) -> None:
        self._serial = next(self._serials)
        self._since = perf_counter()
        self._transport.write(self._request(self._serial))

    def data_received(self, data: bytes) -> None:
        self._received = data = self._received + data if self._received else data
        status = _known.get(data) or _status(data)
        if status is None:
            return
        self._received = b""
        now = perf_counter()
        self._measured.statuses[status] += 1
        if status == 200:
            self._measured.acknowledged.append(self._serial)
            if self._begin <= now < self._end:
                self._measured.latencies.append(now - self._since)
        if now < self._end:
            self.call()
        else:
            self.done.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self._measured.dropped += 1
            self.done.set_result(None)

    def close(self) -> None:
        self._transport.close()


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
