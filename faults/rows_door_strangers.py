"""Strangers with invented keys, tokens and paths, beside callers who want to be served."""

import asyncio
from pathlib import Path
from statistics import median

from faults.audit import settled
from faults.callers import Callers
from faults.command import Command
from faults.machine import machine
from faults.rows import Figure, Result, Run, row
from faults.siege import RATIO, Siege, turn_of
from faults.traffic import Mixed

#: strangers, and how many come a second; and the seconds of a turn without them
NUMBER, COMING, SECONDS = 1500, 100, 8.0
#: megabytes by which the web processes together may grow
MOST_GROWTH = 64
#: milliseconds that count as one: below, the ratio of two hundredths says nothing
LEAST = 5.0


@row(
    14,
    "strangers",
    "1,500 strangers: invented keys, tokens, channels and paths of any length, pages, large bodies; Postgres "
    "well and stopped",
    "401, 404 or 431, the pages 200; others' p99 at most 2 x that without; memory bounded",
)
async def strangers(run: Run) -> Result:
    number, rounds = (200, 1) if run.short else (NUMBER, 3)
    seconds, result = (2.0 if run.short else SECONDS), Result()
    figures: dict[str, Figure] = {}
    async with machine() as served:
        await served.database()
        command = await served.serve(workers=2)
        journal = run.journal()
        callers = Callers(served.address, Mixed(run.seed, await served.sent_messages()), journal)
        await turn_of(callers, 1.0)
        for postgres in ("well", "stopped"):
            if postgres == "stopped":
                await served.server.end()
                await turn_of(callers, 1.5)
            siege, cpu = Siege(served, command, callers), list[float]()
            for turn in range(1, rounds + 1):
                run.progress(f"Postgres {postgres}, round {turn} of {rounds}")
                cpu.append(await _round(siege, number, seconds))
            figures |= _judge(result, siege, postgres, short=run.short)
            figures |= {f"{postgres}: CPU ms a stranger": round(1000 * median(cpu) / number, 2)}
        await served.database()
        callers.hang_up()
        result.add(await settled(served, journal.read()))
    result.rounds = 2 * rounds
    result.figures = {"strangers": number, **figures}
    return result


async def _round(siege: Siege, number: int, seconds: float) -> float:
    """Returns the seconds of CPU time that the strangers took of all web processes."""
    clock, cpu = asyncio.get_running_loop().time, _cpu(siege.command)
    await siege.alone(seconds)
    alone, began = _cpu(siege.command) - cpu, clock()
    await siege.beside("faults.door_strangers", str(number), str(COMING))
    return _cpu(siege.command) - cpu - alone - alone * (clock() - began) / seconds


def _judge(result: Result, siege: Siege, postgres: str, *, short: bool) -> dict[str, Figure]:
    (p99, without), growth = siege.hundredths, max(siege.growth) / 1024
    ratio = p99 / max(without, LEAST)
    siege.judge(result)
    result.demand(short or ratio <= RATIO, f"the others' p99 is {ratio:.2f} x, Postgres {postgres}")
    result.demand(growth <= MOST_GROWTH, f"the web processes grew by {growth:.0f} MB, Postgres {postgres}")
    return {
        f"{postgres}: p99 ms": round(p99, 1),
        f"{postgres}: without them": round(without, 1),
        f"{postgres}: ratio": round(ratio, 2),
        f"{postgres}: MB at most": round(growth, 1),
    }


def _cpu(command: Command) -> float:
    """Seconds of CPU time of all web processes together."""
    ticks = 0
    for pid in command.pids("worker"):
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / 100
