"""Callers who want to be served, alone and beside a crowd that has a process of its own."""

import asyncio
import json
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from faults.callers import Answer, Callers, latency, share_answered
from faults.command import Command
from faults.machine import ROOT, Machine
from faults.rows import Result

#: requests a second of those who want to be served
RATE = 200.0
#: how much longer their slowest hundredth may wait beside a crowd
RATIO = 2.0


@dataclass(slots=True)
class Siege:
    """Measures turn by turn: the answers to *callers* without a crowd and with one, what became of
    the crowd, and the kilobytes by which all web processes of *command* grew meanwhile."""

    served: Machine
    command: Command
    callers: Callers
    without: list[list[Answer]] = field(default_factory=list)
    with_them: list[list[Answer]] = field(default_factory=list)
    told: list[dict[str, Any]] = field(default_factory=list)
    growth: list[int] = field(default_factory=list)

    async def alone(self, seconds: float) -> None:
        """Measures a turn of *seconds* without a crowd."""
        self.without.append(await turn_of(self.callers, seconds))

    async def beside(self, crowd: str, *arguments: str) -> None:
        """Measures a turn for as long as the module *crowd*, run with *arguments*, keeps calling."""
        since, stop, before = len(self.callers.answers), asyncio.Event(), resident(self.command)
        peak = 0
        called = await asyncio.create_subprocess_exec(
            sys.executable, "-m", crowd, *map(str, self.served.address), *arguments,
            cwd=ROOT, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert called.stdout
        try:
            await called.stdout.readline()
            flow = asyncio.create_task(self.callers.flow(RATE, stop))
            last = asyncio.create_task(called.stdout.readline())
            while not last.done():
                await asyncio.wait({last}, timeout=0.2)
                peak = max(peak, resident(self.command))
            stop.set()
            await flow
            self.with_them.append(self.callers.answers[since:])
            self.told.append(json.loads(last.result()))
            self.growth.append(peak - before)
        finally:
            with suppress(ProcessLookupError):
                called.kill()
            await called.wait()

    @property
    def hundredths(self) -> tuple[float, float]:
        """Returns the p99 in milliseconds beside a crowd and without one, medians of the turns."""
        with_them, without = (
            median(latency(answers, 0.99) for answers in turns) for turns in (self.with_them, self.without)
        )
        return with_them, without

    def judge(self, result: Result) -> None:
        """Demands that a crowd is answered as is right, and everybody else 2xx."""
        for name in self.told[0]:
            wrong = sum(told[name]["wrong"] for told in self.told)
            result.demand(not wrong, f"{name}: answered {[told[name]['answers'] for told in self.told]}")
        answered = share_answered([answer for answers in self.with_them for answer in answers])
        result.demand(answered == 1.0, f"only {answered:.2%} of the others' requests were answered 2xx")


async def turn_of(callers: Callers, seconds: float) -> list[Answer]:
    """Returns the answers to `RATE` requests a second, over *seconds*."""
    callers.hang_up()  # what was idle for long is about to be closed by the server, and no fault of anybody's
    since, stop = len(callers.answers), asyncio.Event()
    asyncio.get_running_loop().call_later(seconds, stop.set)
    await callers.flow(RATE, stop)
    return callers.answers[since:]


def resident(command: Command) -> int:
    """Returns the kilobytes of resident memory of all web processes together."""
    statuses = (Path(f"/proc/{pid}/status").read_text("utf-8") for pid in command.pids("worker"))
    return sum(int(status.partition("VmRSS:")[2].split()[0]) for status in statuses)
