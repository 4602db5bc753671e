"""The carrier's side: requests over raw loopback HTTP, each in the journal before it is sent."""

import asyncio
import itertools
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from time import perf_counter
from typing import TypeAlias

from faults.journal import FAILED, INDETERMINATE, OK, Journal
from faults.traffic import PATH, Requests

_Connection: TypeAlias = "tuple[asyncio.StreamReader, asyncio.StreamWriter]"

#: seconds that a caller waits for an answer
PATIENCE = 10.0
#: seconds before a caller that was not served calls again
PAUSE = 0.02

_HEAD = (
    f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json; charset=utf-8\r\n"
    "Content-Length: %d\r\n\r\n"
).encode()


@dataclass(frozen=True, slots=True)
class Answer:
    """*at* and *took* are seconds; *at* is when it was sent, on the clock of ``perf_counter``.

    *status* is 0 where no answer came; *retry_after* says whether the answer had that header.
    """

    serial: int
    at: float
    took: float
    status: int
    outcome: str
    retry_after: bool


class Callers:
    """Calls *address* with what *requests* has, one serial number after the other, from
    *first* on; every answer is kept."""

    def __init__(
        self, address: tuple[str, int], requests: Requests, journal: Journal, *, first: int = 0
    ) -> None:
        self.address = address
        self.answers: list[Answer] = []
        self._requests, self.journal = requests, journal
        self._serials = itertools.count(first)
        self._idle: list[_Connection] = []

    async def crowd(self, connections: int, until: asyncio.Event) -> None:
        """A closed loop: *connections* callers, each sending the next request when the last is answered."""

        async def one() -> None:
            while not until.is_set():
                answer = await self.call(next(self._serials))
                if answer.outcome != OK:
                    await asyncio.sleep(PAUSE)

        await asyncio.gather(*(one() for _ in range(connections)))

    async def flow(self, rate: float, until: asyncio.Event) -> None:
        """An open loop: *rate* requests a second, whether answers come or not; returns when all are
        answered or given up."""
        loop = asyncio.get_running_loop()
        begin, open_calls = loop.time(), set[asyncio.Task[Answer]]()
        for number in itertools.count():
            if (wait := begin + number / rate - loop.time()) > 0:
                with suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await until.wait()
            if until.is_set():
                break
            call = asyncio.create_task(self.call(next(self._serials)))
            open_calls.add(call)
            call.add_done_callback(open_calls.discard)
        await asyncio.gather(*open_calls)

    async def some(self, number: int) -> list[Answer]:
        """*number* requests, one after the other."""
        return [await self.call(next(self._serials)) for _ in range(number)]

    async def resend(self, within: float = 60.0) -> None:
        """What a carrier does: everything that was not answered 2xx, again and again until it is.

        Raises ``TimeoutError``, which names the answers that it got instead.
        """
        missing = [n for n, told in self.journal.read().items() if not told.acknowledged]
        deadline, last = asyncio.get_running_loop().time() + within, list[Answer]()
        while missing:
            if asyncio.get_running_loop().time() > deadline:
                answered = Counter(answer.status for answer in last)
                raise TimeoutError(f"{len(missing)} requests are refused for ever: {dict(answered)}")
            last = [
                answer
                for chunk in _chunks(missing)
                for answer in await asyncio.gather(*(self.call(serial) for serial in chunk))
            ]
            missing = [answer.serial for answer in last if answer.outcome != OK]
            await asyncio.sleep(PAUSE)

    def body(self, serial: int) -> bytes:
        return self._requests.body(serial)

    async def call(self, serial: int) -> Answer:
        body = self._requests.body(serial)
        await self.journal.intend(serial, body)
        began = perf_counter()
        status, retry_after, outcome = await self._exchange(_HEAD % len(body) + body)
        self.journal.outcome(serial, outcome)
        answer = Answer(serial, began, perf_counter() - began, status, outcome, retry_after)
        self.answers.append(answer)
        return answer

    def hang_up(self) -> None:
        """Closes the connections on which nobody calls."""
        while self._idle:
            self._idle.pop()[1].close()

    async def _exchange(self, request: bytes) -> tuple[int, bool, str]:
        """The status, whether there was a Retry-After, and the outcome."""
        try:
            async with asyncio.timeout(PATIENCE):
                reader, writer = self._idle.pop() if self._idle else await self._connected()
        except (OSError, TimeoutError):
            return 0, False, FAILED
        try:
            async with asyncio.timeout(PATIENCE):
                writer.write(request)
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = head.partition(b"content-length:")[2].partition(b"\r\n")[0]
                await reader.readexactly(int(length or 0))
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            writer.transport.abort()
            return 0, False, INDETERMINATE
        if b"connection: close" in head:
            writer.close()
        else:
            self._idle.append((reader, writer))
        status = int(head.split(b" ", 2)[1])
        return status, b"\r\nretry-after:" in head, OK if 200 <= status < 300 else FAILED

    async def _connected(self) -> _Connection:
        return await asyncio.open_connection(*self.address)


def _chunks(serials: list[int], size: int = 32) -> list[list[int]]:
    return [serials[begin : begin + size] for begin in range(0, len(serials), size)]


def share_answered(answers: list[Answer]) -> float:
    """Of all *answers*, the share that were 2xx."""
    return Counter(answer.outcome for answer in answers)[OK] / len(answers) if answers else 0.0


def latency(answers: list[Answer], share: float) -> float:
    """Milliseconds within which *share* of the callers had their answer or gave up."""
    taken = sorted(answer.took for answer in answers)
    return taken[min(int(share * len(taken)), len(taken) - 1)] * 1000 if taken else 0.0
