"""What carriers may do to their door: the same report a thousand times, and what nobody should send."""

import asyncio
from collections.abc import Sequence

from benchmarks.traffic import KnownReports
from faults import fuzz
from faults.audit import Balance, balance
from faults.callers import Answer, Callers, latency
from faults.machine import Machine, machine
from faults.rows import Result, Run, row
from faults.traffic import Requests

CONNECTIONS, WORKERS, REPORTS = 64, 4, 1000
#: how much longer the slowest of those who say the same may wait
RATIO = 2.0


@row(
    6,
    "alike",
    f"one report x {REPORTS:,} over {WORKERS} processes",
    "one event; no deadlock; p99 at most 2 x that of as many different reports",
)
async def alike(run: Run) -> Result:
    rounds, result = 1 if run.short else 10, Result()
    async with machine() as served:
        await served.database()
        await served.serve(workers=WORKERS)
        different = KnownReports(await served.sent_messages(REPORTS * (rounds + 1)))
        callers = Callers(served.address, different, run.journal("different"))
        await _burst(callers, range(REPORTS))  # so that no round pays for what is warmed up once
        callers.answers.clear()
        same: list[Answer] = []
        for number in range(1, rounds + 1):
            run.progress(f"round {number} of {rounds}")
            await _burst(callers, range(number * REPORTS, (number + 1) * REPORTS))
            answers, found = await _same(served, run, different, number)
            same += answers
            result.add(found)
            refused = REPORTS - found.acknowledged
            result.demand(not refused, f"{refused} were not answered 2xx")
        callers.hang_up()
        await _judge(run, result, served, callers.answers, same)
    return result


class _One:
    """One of *requests*, always the same."""

    def __init__(self, requests: Requests, serial: int) -> None:
        self._body = requests.body(serial)

    def body(self, serial: int) -> bytes:
        return self._body


async def _same(served: Machine, run: Run, different: Requests, number: int) -> tuple[list[Answer], Balance]:
    """A report that has not come before, `REPORTS` times; the journal is of this round alone."""
    # an even serial is the first report on a message; the bursts of different ones do not come this far
    repeated = _One(different, 2 * (10 * REPORTS + number))
    journal = run.journal(f"alike-{number}")
    callers = Callers(served.address, repeated, journal)
    await _burst(callers, range(REPORTS))
    callers.hang_up()
    return callers.answers, await balance(served, journal.read())


async def _burst(callers: Callers, serials: Sequence[int]) -> None:
    """Each of *serials* once, over all connections, as fast as they are answered."""
    waiting = iter(serials)

    async def one() -> None:
        for serial in waiting:
            await callers.call(serial)

    await asyncio.gather(*(one() for _ in range(CONNECTIONS)))


async def _judge(
    run: Run, result: Result, served: Machine, different: list[Answer], same: list[Answer]
) -> None:
    async with served.connection() as connection:
        await connection.execute("SELECT pg_stat_force_next_flush()")
        deadlocks = await connection.fetchval("SELECT sum(deadlocks)::int FROM pg_stat_database")
        kept = await connection.fetchval(
            "SELECT min(number) FROM (SELECT count(*) AS number FROM postback.payload GROUP BY body"
            " HAVING count(*) > 1) AS bodies"
        )
    p99, beside = latency(same, 0.99), latency(different, 0.99)
    result.figures = {
        "p99 ms": round(p99, 1),
        "of different reports": round(beside, 1),
        "ratio": round(p99 / beside, 2),
        "deadlocks": deadlocks,
    }
    # the short form runs beside whatever else a suite does
    result.demand(
        run.short or p99 <= RATIO * beside, f"the p99 is {p99 / beside:.2f} x that of different reports"
    )
    result.demand(deadlocks == 0, f"{deadlocks} deadlocks")
    result.demand(kept == REPORTS, f"of a report that came {REPORTS} times {kept} requests are kept")


@row(
    9,
    "fuzz",
    "requests that nobody should send, at every provider's door",
    "no 5xx, no worker death, every body kept byte for byte, every text back from the API as it was",
)
async def fuzzed(run: Run) -> Result:
    count = 1_000 if run.short else 50_000
    outcome = await fuzz.fuzzed(count, run.seed, 128, 2, lambda counted, total: _silent(run, counted, total))
    report, checked = fuzz.as_dict(outcome, run.seed), outcome.checked
    result = Result(
        rounds=1,
        requests=count,
        acknowledged=report["acknowledged"],
        lost=len(checked.missing) + len(checked.altered),
        doubled=len(checked.doubled),
        figures={
            "5xx": report["server_errors"],
            "texts": report["texts"],
            "not equal": len(checked.strayed),
            "died": outcome.died,
            "peak MB": report["peak_memory_mb"],
        },
    )
    broken = report["unexpected"] or report["cases_not_held"]
    result.demand(outcome.holds, f"cases that do not hold: {broken}")
    return result


def _silent(run: Run, counted: str, total: int) -> fuzz.Step:
    run.progress(f"{total:,} {counted}")
    return lambda steps: None
