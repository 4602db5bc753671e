"""Callbacks over real HTTP: in the order of a script, tried again as the carrier does."""

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from time import perf_counter
from typing import Any

import httpx

from simulator.accounts import Account
from simulator.credentials import credentials
from simulator.faults import Faults
from simulator.journal import Entry, Journal, now
from simulator.lines import ANSWER_WITHIN, Lines

MAX_WAITING = 20_000

JSON = "application/json; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Callback:
    """One body to post, *after* so many real seconds from the first try of the one before it."""

    body: bytes
    after: float = 0
    content_type: str = JSON


@dataclass(frozen=True, slots=True)
class Retries:
    """What a carrier makes of an answer: *pauses* in its seconds before each further try."""

    pauses: tuple[float, ...]
    #: the statuses that it takes for success
    taken: range = range(200, 300)
    #: the statuses after which it does not try again, *tried_again* excepted
    final: range = range(0)
    tried_again: frozenset[int] = frozenset()

    def ends(self, status: int | None) -> bool:
        if status is None or status in self.tried_again:
            return False
        return status in self.taken or status in self.final


#: where a carrier documents nothing: any 2xx, and five more tries, five minutes apart
ASSUMED = Retries((300.0,) * 5)


def arranged(
    bodies: Sequence[bytes], faults: Faults, pause: float, content_type: str = JSON
) -> list[Callback]:
    """*bodies* in the order and at the times that *faults* ask for, *pause* real seconds apart."""
    ordered = list(reversed(bodies)) if faults.reordered else list(bodies)
    script = []
    for place, body in enumerate(ordered):
        after = pause if place else 0.0
        if place == len(ordered) - 1 and not faults.early:
            after += faults.late
        first, again = Callback(body, after, content_type), Callback(body, 0, content_type)
        script += [first, *[again] * (faults.duplicate - 1)]
    return script


def moments(number: int, faults: Faults, pause: float) -> list[datetime]:
    """When each of *number* reports happened; in the wrong order they tell of the past, not of the future."""
    begun = datetime.now(UTC) - timedelta(seconds=pause * (number - 1) * faults.reordered)
    return [begun + timedelta(seconds=place * pause) for place in range(number)]


class Callbacks:
    """Everything on its way to the accounts' URLs. *pace* is how long one of the carrier's seconds lasts."""

    def __init__(self, lines: Lines, journal: Journal, pace: float, retries: Mapping[str, Retries]) -> None:
        self._lines = lines
        self._journal = journal
        self._pace = pace
        self._retries = retries
        self._tasks: set[asyncio.Task[list[Entry]]] = set()
        self._stopped = False

    @property
    def full(self) -> bool:
        """Whether so much waits that a carrier would throttle its customer."""
        return len(self._tasks) >= MAX_WAITING

    def start(self, account: Account, script: Sequence[Callback]) -> asyncio.Task[list[Entry]] | None:
        """Begins *script*. The task ends after the first try of its last callback; retries go on alone."""
        if account.callback_url is None or not script:
            return None
        return self._spawn(self._play(account, account.callback_url, script))

    async def stop(self) -> None:
        """Gives up whatever is on its way; nothing starts any more."""
        self._stopped = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _spawn(self, work: Coroutine[Any, Any, list[Entry]]) -> asyncio.Task[list[Entry]] | None:
        if self._stopped:
            work.close()
            return None
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _play(self, account: Account, url: str, script: Sequence[Callback]) -> list[Entry]:
        retries, entries = self._retries[account.provider], []
        for callback in script:
            if callback.after:
                await asyncio.sleep(callback.after)
            entry = self._journal.add("callback", callback.body, account=account.name, tries=[])
            entries.append(entry)
            headers = {"content-type": callback.content_type, **credentials(account, callback.body)}
            request = httpx.Request("POST", url, content=callback.body, headers=headers)
            if not retries.ends(await self._try(request, entry)):
                self._spawn(self._retry(request, entry, retries))
        return entries

    async def _retry(self, request: httpx.Request, entry: Entry, retries: Retries) -> list[Entry]:
        for pause in retries.pauses:
            await asyncio.sleep(pause * self._pace)
            if retries.ends(await self._try(request, entry)):
                break
        return [entry]

    async def _try(self, request: httpx.Request, entry: Entry) -> int | None:
        async with self._lines.line() as client:
            begun, clock = now(), perf_counter()
            status, answer, error = None, None, None
            try:
                async with asyncio.timeout(ANSWER_WITHIN):
                    response = await client.send(request)
                status, answer = response.status_code, response.text[:200]
            except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as failure:
                error = f"{type(failure).__name__}: {failure}".removesuffix(": ")
        ms = round((perf_counter() - clock) * 1000, 1)
        entry["tries"].append({"at": begun, "status": status, "answer": answer, "error": error, "ms": ms})
        return status
