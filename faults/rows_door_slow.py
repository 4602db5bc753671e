"""Two thousand connections that only hold on, beside callers who want to be served."""

import asyncio

from faults.audit import settled
from faults.callers import Callers
from faults.machine import machine
from faults.rows import Result, Run, row
from faults.siege import RATIO, Siege, resident, turn_of
from faults.traffic import PATH, Mixed

#: seconds of a turn without them: longer than anybody may dawdle
SECONDS = 14.0
#: seconds that a slow caller may hold on, with a second for this machine to notice
PATIENCE, SLACK = 10.0, 1.0
#: kilobytes of resident memory that a connection may cost while it lasts
PER_CONNECTION = 64


@row(
    8,
    "slow",
    "2,000 slow connections (idle, slow headers, slow body), oversize and lying Content-Length, chunked "
    "without end, compressed bombs, 100,000 headers",
    "closed within 10 s, 408, 413 or 431; others' p99 at most 2 x that without; memory bounded",
)
async def slow(run: Run) -> Result:
    number, rounds = (300, 1) if run.short else (2000, 5)
    seconds, result = (2.0, Result()) if run.short else (SECONDS, Result())
    async with machine() as served:
        await served.database()
        command = await served.serve(workers=2)
        journal = run.journal()
        callers = Callers(served.address, Mixed(run.seed, await served.sent_messages()), journal)
        siege = Siege(served, command, callers)
        await turn_of(callers, 1.0)
        for turn in range(1, rounds + 1):
            run.progress(f"round {turn} of {rounds}, without them")
            await siege.alone(seconds)
            before = resident(command)
            run.progress(f"round {turn} of {rounds}, {number:,} slow connections")
            await siege.beside("faults.door_slow", PATH, str(number))
        await asyncio.sleep(1.0)
        left = resident(command) - before
        callers.hang_up()
        result.add(await settled(served, journal.read()))
        result.rounds = rounds
    _judge(result, siege, number, left)
    return result


def _judge(result: Result, siege: Siege, number: int, left: int) -> None:
    """*left* is by how many kilobytes the web processes are larger afterwards."""
    (p99, without), growth = siege.hundredths, max(siege.growth)
    held = {name: max(told[name]["seconds"] for told in siege.told) for name in siege.told[0]}
    longest = max(held.values())
    result.figures = {
        "slow connections": number,
        "closed after s": longest,
        "p99 ms": round(p99, 1),
        "without them": round(without, 1),
        "ratio": round(p99 / without, 2),
        "MB at most": round(growth / 1024, 1),
        "MB kept": round(left / 1024, 1),
    }
    result.demand(longest <= PATIENCE + SLACK, f"one held on for {longest} s: {held}")
    siege.judge(result)
    # of three hundred callers the ends of both hundredths are a handful of answers: too few to compare
    result.demand(number < 1000 or p99 <= RATIO * without, f"the others' p99 is {p99 / without:.2f} x")
    result.demand(growth <= number * PER_CONNECTION, f"the web processes grew by {growth} kB")
