"""Sends cases over many connections at once and judges every answer."""

import asyncio
from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import cast

from faults.fuzz_cases import SUCCESS, Case, checksum

#: seconds for an answer, and for one to a request that may have none
PATIENCE, SHORT_PATIENCE = 30.0, 0.5
#: answers that were not expected, described in full; the others are counted
DESCRIBED = 20


@dataclass(slots=True)
class Judged:
    """What came of the cases. *kept* and *sums* are the numbers of those that must be stored and the checksum
    of each, *told* those whose text must come back."""

    cases: Counter[tuple[str, str]] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    unexpected: list[str] = field(default_factory=list)
    wrong: int = 0
    kept: "array[int]" = field(default_factory=lambda: array("Q"))
    sums: "array[int]" = field(default_factory=lambda: array("L"))
    told: "array[int]" = field(default_factory=lambda: array("Q"))

    def judge(self, case: Case, status: int) -> None:
        self.cases[case.provider, case.kind] += 1
        self.statuses[status] += 1
        if status not in case.expected:
            self.wrong += 1
            if len(self.unexpected) < DESCRIBED:
                wanted = ", ".join(map(str, sorted(case.expected)))
                self.unexpected.append(
                    f"case {case.number} ({case.provider}, {case.kind}): {status}, not {wanted}"
                )
        elif case.body is not None and status == SUCCESS[case.provider]:
            self.kept.append(case.number)
            self.sums.append(checksum(case.body, case.query))
            if case.text is not None:
                self.told.append(case.number)


async def send(
    address: tuple[str, int], cases: Iterator[Case], connections: int, progress: Callable[[], None]
) -> Judged:
    """Each case once, over *connections* at a time; *progress* is called after each."""
    judged = Judged()

    async def caller() -> None:
        line = _Line(address)
        for case in cases:  # one iterator for all of them
            judged.judge(case, await line.status(case))
            progress()
        line.close()

    await asyncio.gather(*(caller() for _ in range(connections)))
    return judged


class _Line:
    """A connection that is made anew whenever it was closed or spoilt."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self._open: _Call | None = None

    async def status(self, case: Case) -> int:
        """The status of the answer, 0 where the connection is closed or stays silent."""
        if case.alone:
            self.close()
        status = await self._tried(case)
        if status == 0 and not case.alone:
            status = await self._tried(case)  # it may have been closed while nobody called
        if case.alone:
            self.close()
        return status

    async def _tried(self, case: Case) -> int:
        loop = asyncio.get_running_loop()
        if self._open is None or self._open.closed:
            _, call = await loop.create_connection(_Call, *self._address)
            self._open = call
        try:
            async with asyncio.timeout(SHORT_PATIENCE if 0 in case.expected else PATIENCE):
                return await self._open.exchange(case.raw)
        except TimeoutError:
            self.close()
            return 0

    def close(self) -> None:
        if self._open:
            self._open.close()
            self._open = None


class _Call(asyncio.Protocol):
    """One connection with at most one request on its way."""

    _transport: asyncio.Transport

    def __init__(self) -> None:
        self.closed = False
        self._received = b""
        self._answer: asyncio.Future[int] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are transports by behaviour only

    async def exchange(self, request: bytes) -> int:
        if self.closed:
            return 0
        self._received = b""
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if not end:
            return
        lower = head.lower()
        length = lower.partition(b"content-length:")[2].partition(b"\r\n")[0]
        if len(body) < int(length or 0):
            return
        if b"connection: close" in lower:
            self.close()
        self._done(int(head.split(b" ", 2)[1]))

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self._done(0)

    def close(self) -> None:
        self.closed = True
        self._transport.close()

    def _done(self, status: int) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(status)
