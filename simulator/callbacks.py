"""Callbacks over real HTTP: in the order of a script, tried again on any answer but 200.

Sinch's own page on retries is not public beyond its start; these are its sister platform's terms: exactly
HTTP 200 within 10 s, the next try 5 minutes later, 5 more tries at most
(https://www.skycore.com/help/messaging-api-v2-intro/).
"""

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import httpx

from simulator.accounts import Account
from simulator.faults import Faults
from simulator.journal import Entry, Journal, now
from simulator.lines import ANSWER_WITHIN, Lines

RETRY_PAUSE = 300.0
RETRIES = 5

MAX_WAITING = 20_000


@dataclass(frozen=True, slots=True)
class Callback:
    """One body to post, *after* so many real seconds from the first try of the one before it."""

    body: bytes
    after: float = 0


def arranged(bodies: Sequence[bytes], faults: Faults, pause: float) -> list[Callback]:
    """*bodies* in the order and at the times that *faults* ask for, *pause* real seconds apart."""
    ordered = list(reversed(bodies)) if faults.reordered else list(bodies)
    script = []
    for place, body in enumerate(ordered):
        after = pause if place else 0.0
        if place == len(ordered) - 1 and not faults.early:
            after += faults.late
        script += [Callback(body, after), *[Callback(body)] * (faults.duplicate - 1)]
    return script


class Callbacks:
    """Everything on its way to the accounts' URLs. *pace* is how long one of the carrier's seconds lasts."""

    def __init__(self, lines: Lines, journal: Journal, pace: float) -> None:
        self._lines = lines
        self._journal = journal
        self._pace = pace
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
        return self._spawn(self._play(account.name, account.callback_url, script))

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

    async def _play(self, name: str, url: str, script: Sequence[Callback]) -> list[Entry]:
        entries = []
        for callback in script:
            if callback.after:
                await asyncio.sleep(callback.after)
            entry = self._journal.add("callback", callback.body, account=name, tries=[])
            entries.append(entry)
            if not await self._try(url, callback.body, entry):
                self._spawn(self._retry(url, callback.body, entry))
        return entries

    async def _retry(self, url: str, body: bytes, entry: Entry) -> list[Entry]:
        for _ in range(RETRIES):
            await asyncio.sleep(RETRY_PAUSE * self._pace)
            if await self._try(url, body, entry):
                break
        return [entry]

    async def _try(self, url: str, body: bytes, entry: Entry) -> bool:
        async with self._lines.line() as client:
            begun, clock = now(), perf_counter()
            status, answer, error = None, None, None
            try:
                async with asyncio.timeout(ANSWER_WITHIN):
                    response = await client.post(url, content=body, headers=_JSON)
                status, answer = response.status_code, response.text[:200]
            except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as failure:
                error = f"{type(failure).__name__}: {failure}".removesuffix(": ")
        ms = round((perf_counter() - clock) * 1000, 1)
        entry["tries"].append({"at": begun, "status": status, "answer": answer, "error": error, "ms": ms})
        return status == httpx.codes.OK


_JSON = {"content-type": "application/json; charset=utf-8"}
