"""How fast events get to apps, beside a loop that only posts; and how long after their receipt."""

import asyncio
import itertools
from collections.abc import Callable
from time import perf_counter
from typing import Any

import httpx

from benchmarks import load, sending
from benchmarks.contenders import Contender, Field
from benchmarks.figures import Figure, at_least
from benchmarks.rounds import Options
from benchmarks.traffic import ExternalReports

#: bytes of an event with its message
BODY = 1600
#: what `receiver.forward.terms` allows for one subscriber, and for all
TO_ONE, TO_ALL = 32, 256
SUBSCRIBERS = 100


async def measure(field: Field, options: Options, progress: Callable[[str], None]) -> list[Figure]:
    progress("forwarding")
    processes = field.processes
    url = await processes.migrated("forwarding")
    web, sink = await processes.postback(url, 1), await processes.ready("-m", "benchmarks.sink", name="sink")
    serials = itertools.count()
    async with httpx.AsyncClient(
        base_url=_address(web), headers={"authorization": f"Bearer {await processes.key(url)}"}, timeout=60
    ) as api:
        await _subscribe(api, sink, 1)
        posted = [await sending.posted(_address(sink), "", options.events, TO_ONE, BODY)]
        backlog = await _events(web, serials, options.events, rate=2000)
        before = await _count(sink)
        await processes.forwarder(url)
        to_one = await _drained(sink, before, backlog)
        posted.append(await sending.posted(_address(sink), "", options.events, TO_ONE, BODY))
        await _told(sink)
        live = await _events(web, serials, options.events // 4, rate=200)
        lags = await _lags(sink, live)
        await _subscribe(api, sink, SUBSCRIBERS - 1)
        await asyncio.sleep(2)
        bare = await sending.posted(_address(sink), "", options.events, TO_ALL, BODY)
        before = await _count(sink)
        few = await _events(web, serials, max(options.events // 20, 10), rate=2000)
        to_all = await _drained(sink, before, few * SUBSCRIBERS)
    return [
        at_least("events to one subscriber, beside a posting loop", to_one, sum(posted) / 2, 0.6),
        at_least(f"events to {SUBSCRIBERS} subscribers, beside a posting loop", to_all, bare, 0.6),
        Figure("receipt to subscriber, p50 at 200 a second", _share(lags, 0.5), "ms"),
        Figure("receipt to subscriber, p99 at 200 a second", _share(lags, 0.99), "ms"),
    ]


async def _subscribe(api: httpx.AsyncClient, sink: Contender, number: int) -> None:
    for place in range(number):
        answer = await api.post("/v1/subscribers", json={"url": f"{_address(sink)}/{number}/{place}"})
        answer.raise_for_status()


async def _events(web: Contender, serials: "itertools.count[int]", number: int, *, rate: float) -> int:
    """About *number* new events; how many it were."""
    measured = await load.opened(
        web.address, ExternalReports().request, serials, rate=rate, connections=32, warm_up=0.0,
        seconds=number / rate,
    )  # fmt: skip
    return measured.statuses[200]


async def _drained(sink: Contender, before: int, number: int) -> float:
    """Posts a second, until *number* have come after *before*. Raises ``TimeoutError``."""
    seen: list[tuple[float, int]] = []
    async with asyncio.timeout(180):
        while not seen or seen[-1][1] > 0:
            seen.append((perf_counter(), number - (await _count(sink) - before)))
            await asyncio.sleep(0.02)
    return sending.middle(seen, number)


async def _lags(sink: Contender, number: int) -> list[float]:
    found: list[float] = []
    async with asyncio.timeout(60):
        while len(found) < number:
            found += (await _told(sink))["lags"]
            await asyncio.sleep(0.05)
    return sorted(found)


def _share(ordered: list[float], share: float) -> float:
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


async def _count(sink: Contender) -> int:
    return int((await _told(sink))["count"])


async def _told(sink: Contender) -> dict[str, Any]:
    async with httpx.AsyncClient() as client:
        found: dict[str, Any] = (await client.get(_address(sink))).json()
        return found


def _address(contender: Contender) -> str:
    return f"http://{contender.address[0]}:{contender.address[1]}"
