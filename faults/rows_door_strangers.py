"""Strangers with invented keys, tokens and paths, beside callers who want to be served."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from faults.audit import settled
from faults.callers import Answer, Callers, latency, share_answered
from faults.machine import Command, Machine, machine
from faults.rows import Figure, Result, Run, row
from faults.rows_door_slow import RATIO, besieged, resident, turn_of
from faults.traffic import Mixed

#: strangers, and how many come a second; and the seconds of a turn without them
NUMBER, COMING, SECONDS = 1500, 100, 8.0
#: megabytes by which the web processes together may grow
MOST_GROWTH = 64
#: milliseconds that count as one: below, the ratio of two hundredths says nothing
LEAST = 5.0


@dataclass(slots=True)
class _Found:
    """What was measured, round by round; memory in kilobytes, CPU time in seconds of all web processes."""

    without: list[list[Answer]] = field(default_factory=list)
    with_them: list[list[Answer]] = field(default_factory=list)
    told: list[dict[str, Any]] = field(default_factory=list)
    growth: list[int] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)


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
            found = _Found()
            for turn in range(1, rounds + 1):
                run.progress(f"Postgres {postgres}, round {turn} of {rounds}")
                await _round(served, command, callers, found, number, seconds)
            figures |= _judge(result, found, postgres, number)
        await served.database()
        callers.hang_up()
        result.add(await settled(served, journal.read()))
    result.rounds = 2 * rounds
    result.figures = {"strangers": number, **figures}
    return result


async def _round(
    served: Machine, command: Command, callers: Callers, found: _Found, number: int, seconds: float
) -> None:
    cpu = _cpu(command)
    found.without.append(await turn_of(callers, seconds))
    alone, before = _cpu(command) - cpu, resident(command)
    began = asyncio.get_running_loop().time()
    answers, told, peak = await besieged(
        served, command, callers, "faults.door_strangers", str(number), str(COMING)
    )
    lasted = asyncio.get_running_loop().time() - began
    found.with_them.append(answers)
    found.told.append(told)
    found.growth.append(peak - before)
    found.cpu.append(_cpu(command) - cpu - alone - alone * lasted / seconds)


def _judge(result: Result, found: _Found, postgres: str, number: int) -> dict[str, Figure]:
    p99, without = (
        median(latency(answers, 0.99) for answers in turns) for turns in (found.with_them, found.without)
    )
    growth = max(found.growth) / 1024
    for name in found.told[0]:
        wrong = sum(told[name]["wrong"] for told in found.told)
        result.demand(not wrong, f"{name}: answered {[told[name]['answers'] for told in found.told]}")
    ratio = p99 / max(without, LEAST)
    result.demand(number < NUMBER or ratio <= RATIO, f"the others' p99 is {ratio:.2f} x, Postgres {postgres}")
    result.demand(growth <= MOST_GROWTH, f"the web processes grew by {growth:.0f} MB, Postgres {postgres}")
    answered = share_answered([answer for answers in found.with_them for answer in answers])
    result.demand(answered == 1.0, f"only {answered:.2%} of the others' requests were answered 2xx")
    return {
        f"{postgres}: p99 ms": round(p99, 1),
        f"{postgres}: without them": round(without, 1),
        f"{postgres}: ratio": round(ratio, 2),
        f"{postgres}: CPU ms a stranger": round(1000 * median(found.cpu) / number, 2),
        f"{postgres}: MB at most": round(growth, 1),
    }


def _cpu(command: Command) -> float:
    """Seconds of CPU time of all web processes together."""
    ticks = 0
    for pid in command.pids("worker"):
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / 100
