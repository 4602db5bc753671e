"""Two thousand connections that only hold on, beside callers who want to be served."""

import asyncio
import json
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from faults.audit import settled
from faults.callers import Answer, Callers, latency, share_answered
from faults.journal import Journal
from faults.machine import ROOT, Command, Machine, machine
from faults.rows import Result, Run, row
from faults.traffic import PATH, Mixed

#: requests a second of the others, and seconds of a turn: longer than anybody may dawdle
RATE, SECONDS = 200.0, 14.0
#: seconds that a slow caller may hold on, with a second for this machine to notice
PATIENCE, SLACK = 10.0, 1.0
#: how much longer the others' slowest hundredth may wait
RATIO = 2.0
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
    found = _Found()
    async with machine() as served:
        await served.database()
        command = await served.serve(workers=2)
        journal = Journal(run.scratch / "journal")
        callers = Callers(served.address, Mixed(run.seed, await served.sent_messages()), journal)
        await turn_of(callers, 1.0)
        for turn in range(1, rounds + 1):
            run.progress(f"round {turn} of {rounds}, without them")
            found.without.append(await turn_of(callers, seconds))
            before = resident(command)
            run.progress(f"round {turn} of {rounds}, {number:,} slow connections")
            answers, told, peak = await besieged(
                served, command, callers, "faults.door_slow", PATH, str(number)
            )
            found.with_them.append(answers)
            found.told.append(told)
            found.growth.append(peak - before)
        await asyncio.sleep(1.0)
        found.left = resident(command) - before
        callers.hang_up()
        result.add(await settled(served, journal.read()))
        result.rounds = rounds
    _judge(result, found, number)
    return result


@dataclass(slots=True)
class _Found:
    """What was measured, round by round; memory in kilobytes."""

    without: list[list[Answer]] = field(default_factory=list)
    with_them: list[list[Answer]] = field(default_factory=list)
    told: list[dict[str, Any]] = field(default_factory=list)
    growth: list[int] = field(default_factory=list)
    left: int = 0


async def turn_of(callers: Callers, seconds: float) -> list[Answer]:
    """The answers to `RATE` requests a second, over *seconds*."""
    callers.hang_up()  # what was idle for long is about to be closed by the server, and no fault of anybody's
    since, stop = len(callers.answers), asyncio.Event()
    asyncio.get_running_loop().call_later(seconds, stop.set)
    await callers.flow(RATE, stop)
    return callers.answers[since:]


async def besieged(
    served: Machine, command: Command, callers: Callers, crowd: str, *arguments: str
) -> tuple[list[Answer], dict[str, Any], int]:
    """The others' answers while those of the module *crowd* call, what became of these, and the most resident
    memory of all web processes meanwhile."""
    since, stop, peak = len(callers.answers), asyncio.Event(), 0
    slow = await asyncio.create_subprocess_exec(
        sys.executable, "-m", crowd, *map(str, served.address), *arguments,
        cwd=ROOT, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert slow.stdout
    try:
        await slow.stdout.readline()
        flow = asyncio.create_task(callers.flow(RATE, stop))
        last = asyncio.create_task(slow.stdout.readline())
        while not last.done():
            await asyncio.wait({last}, timeout=0.2)
            peak = max(peak, resident(command))
        stop.set()
        await flow
        return callers.answers[since:], json.loads(last.result()), peak
    finally:
        with suppress(ProcessLookupError):
            slow.kill()
        await slow.wait()


def resident(command: Command) -> int:
    """Kilobytes of all web processes together."""
    statuses = (Path(f"/proc/{pid}/status").read_text("utf-8") for pid in command.pids("worker"))
    return sum(int(status.partition("VmRSS:")[2].split()[0]) for status in statuses)


def _judge(result: Result, found: _Found, number: int) -> None:
    p99, beside = (
        median(latency(answers, 0.99) for answers in turns) for turns in (found.with_them, found.without)
    )
    kinds = {
        name: {
            "seconds": max(told[name]["seconds"] for told in found.told),
            "wrong": sum(told[name]["wrong"] for told in found.told),
            "answers": [told[name]["answers"] for told in found.told],
        }
        for name in found.told[0]
    }
    longest = max(kind["seconds"] for kind in kinds.values())
    growth = max(found.growth)
    result.figures = {
        "slow connections": number,
        "closed after s": longest,
        "p99 ms": round(p99, 1),
        "without them": round(beside, 1),
        "ratio": round(p99 / beside, 2),
        "MB at most": round(growth / 1024, 1),
        "MB kept": round(found.left / 1024, 1),
    }
    result.demand(longest <= PATIENCE + SLACK, f"one held on for {longest} s: {kinds}")
    for name, kind in kinds.items():
        result.demand(not kind["wrong"], f"{name}: answered {kind['answers']}")
    # of three hundred callers the ends of both hundredths are a handful of answers: too few to compare
    result.demand(number < 1000 or p99 <= RATIO * beside, f"the others' p99 is {p99 / beside:.2f} x")
    result.demand(growth <= number * PER_CONNECTION, f"the web processes grew by {growth} kB")
    answered = share_answered([answer for answers in found.with_them for answer in answers])
    result.demand(answered == 1.0, f"only {answered:.2%} of the others' requests were answered 2xx")
