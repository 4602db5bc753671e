"""Postgres is away for a while, and callers go on being acknowledged: the spool keeps what they bring."""

import asyncio
import signal
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random
from time import perf_counter

from faults import processes, spools
from faults.audit import settled
from faults.callers import Answer, Callers, latency, share_answered
from faults.journal import Journal
from faults.machine import Machine, machine
from faults.outages import OUTAGES, Outage, fill, stopped
from faults.rows import Result, Run, row
from faults.traffic import Mixed

#: requests a second, whether they are answered or not
RATE = 500
#: of all requests during the outage, at least so many are answered 2xx, so fast (milliseconds) but for those
#: of the first second
SHARE, P99, FIRST = 0.999, 100.0, 1.0
#: the spool is emptied so many times faster than requests come
FASTER = 2.0
#: seconds by which a request may reach the feed after one that came later: a batch's worth
DISORDER = 1.0
#: seconds for a spool to be empty again
PATIENCE = 120.0


@dataclass(frozen=True, slots=True)
class Course:
    """One outage: what was answered while it lasted, how many requests waited when it was over, how many
    seconds they waited from the first moment that Postgres was there, and their worst disorder in seconds."""

    answers: list[Answer]
    spooled: int
    draining: float
    disorder: float

    @property
    def drained(self) -> float:
        """Requests a second, beside those that came meanwhile."""
        return self.spooled / self.draining


@row(
    3,
    "outage",
    "Postgres stopped, frozen or its disk full, for 10 s and for 120 s",
    "99.9 % of requests are answered 2xx, p99 at most 100 ms after the first second; drained in order, twice "
    "as fast as requests come",
)
async def outage(run: Run) -> Result:
    result = Result()
    lengths = [("stopped", 3)] if run.short else [(name, s) for name in OUTAGES for s in (10, 120)]
    for name, seconds in lengths:
        run.progress(f"{name} for {seconds} s")
        journal = run.journal(f"journal-{name}-{seconds}")
        async with machine() as broken:
            callers = await _installed(broken, run, journal, workers=1)
            if name == "full":
                await fill(broken)
            course = await _course(broken, callers, OUTAGES[name], seconds)
            result.add(await settled(broken, journal.read()))
        _judge(result, f"{name} {seconds} s", course)
    return result


@row(
    3,
    "outage-killed",
    "SIGKILL of workers while Postgres is away, and while the spool is drained",
    "acknowledged and not stored: 0; nothing twice",
)
async def outage_killed(run: Run) -> Result:
    result, random = Result(), run.random
    rounds = 1 if run.short else 4
    for number in range(rounds):
        run.progress(f"round {number + 1} of {rounds}")
        journal = run.journal(f"journal-{number}")
        async with machine() as broken:
            callers = await _installed(broken, run, journal, workers=2)
            stop = asyncio.Event()
            load = asyncio.create_task(callers.flow(RATE, stop))
            async with stopped(broken):
                await asyncio.sleep(random.uniform(1.5, 3 if run.short else 8))
                _kill_one(broken, random)
                await asyncio.sleep(1)
                second = asyncio.create_task(_kill_while_draining(broken, random))
            waited = await second
            await asyncio.sleep(1)
            stop.set()
            await load
            await callers.resend()
            result.add(await settled(broken, journal.read()))
            result.demand(waited, f"round {number + 1}: the second kill came when nothing waited any more")
            result.figures[f"round {number + 1}, in the spool at the second kill"] = waited
    return result


async def _installed(broken: Machine, run: Run, journal: Journal, *, workers: int) -> Callers:
    await broken.database()
    callers = Callers(broken.address, Mixed(run.seed, await broken.sent_messages()), journal)
    await broken.serve(workers=workers)
    await callers.some(20)
    return callers


def _kill_one(broken: Machine, random: Random) -> None:
    pids = broken.web.pids("worker")
    if pids:
        processes.send(random.choice(pids), signal.SIGKILL)


async def _kill_while_draining(broken: Machine, random: Random) -> int:
    """How much waited at that moment."""
    async with broken.connection():
        await asyncio.sleep(random.uniform(0, 0.2))
    waited = spools.waiting(broken)
    _kill_one(broken, random)
    return waited


async def _course(broken: Machine, callers: Callers, outage: Outage, seconds: float) -> Course:
    stop = asyncio.Event()
    load = asyncio.create_task(callers.flow(RATE, stop))
    await asyncio.sleep(1)
    began, first = perf_counter(), datetime.now(UTC)
    async with outage(broken):
        await asyncio.sleep(seconds)
        ended, last, spooled = perf_counter(), datetime.now(UTC), spools.waiting(broken)
        draining = asyncio.create_task(_draining(broken))
    taken = await draining
    stop.set()
    await load
    await callers.resend()
    during = [answer for answer in callers.answers if began <= answer.at < ended]
    return Course(during, spooled, taken, await _disorder(broken, first, last))


async def _draining(broken: Machine) -> float:
    """Seconds from the first moment that Postgres answers until nothing waits. Raises ``TimeoutError``."""
    async with broken.connection() as connection:
        await connection.fetchval("SELECT 1")
    began = perf_counter()
    async with asyncio.timeout(PATIENCE):
        while spools.waiting(broken):  # noqa: ASYNC110 - other processes empty it
            await asyncio.sleep(0.05)
    return perf_counter() - began


async def _disorder(broken: Machine, first: datetime, last: datetime) -> float:
    """Over the events of requests between *first* and *last*, in the order of the feed: by how many seconds
    the latest before each was received after it, at most."""
    async with broken.connection() as connection:
        rows = await connection.fetch(
            "SELECT received_at FROM postback.event WHERE received_at BETWEEN $1 AND $2 ORDER BY seq",
            first,
            last,
        )
    worst, latest = 0.0, first
    for (received_at,) in rows:
        latest = max(latest, received_at)
        worst = max(worst, (latest - received_at).total_seconds())
    return worst


def _judge(result: Result, name: str, course: Course) -> None:
    share = share_answered(course.answers)
    begin = course.answers[0].at + FIRST
    p99 = latency([answer for answer in course.answers if answer.at >= begin], 0.99)
    result.demand(share >= SHARE, f"{name}: {share:.2%} of requests were answered 2xx")
    result.demand(p99 <= P99, f"{name}: p99 was {p99:.0f} ms after the first second")
    result.demand(course.spooled, f"{name}: nothing was in the spool, so nothing was tried")
    result.demand(course.drained >= FASTER * RATE, f"{name}: only {course.drained:.0f}/s were drained")
    result.demand(course.disorder <= DISORDER, f"{name}: drained out of order by {course.disorder:.1f} s")
    result.figures[f"{name}: 2xx"] = f"{share:.2%}"
    result.figures[f"{name}: p99 ms"] = round(p99, 1)
    result.figures[f"{name}: drained a second"] = round(course.drained)
