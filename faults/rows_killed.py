"""SIGKILL of any process, at a moment that nobody chose."""

import asyncio
import signal
from collections import Counter
from random import Random

from faults import processes
from faults.audit import settled
from faults.callers import Callers
from faults.command import Command
from faults.journal import OK
from faults.machine import Machine, machine
from faults.rows import Result, Run, row
from faults.traffic import Mixed

CONNECTIONS = 24
#: who is killed: the supervisor last, because everything ends with it and has to be started by hand
VICTIMS = ("worker", "serve", "send", "forward", "backend", "postmaster", "up")
#: seconds of load before the kill, at least and at most, and after all is served again
BEFORE, AFTER = (0.3, 1.5), 0.5


@row(
    1,
    "killed",
    "SIGKILL of any process at random under load",
    "acknowledged and not stored: 0; what is sent again after no answer is one event",
)
async def killed(run: Run) -> Result:
    rounds, random, result = 2 if run.short else 20, run.random, Result()
    victims = list(VICTIMS) * 3
    random.shuffle(victims)
    victims = ["worker", "up"] if run.short else [*victims[: rounds - 1], "up"]
    async with machine() as broken:
        installation = await broken.up()
        journal = run.journal()
        callers = Callers(broken.address, Mixed(run.seed, await broken.sent_messages()), journal)
        for number, victim in enumerate(victims, 1):
            run.progress(f"round {number} of {rounds}, {victim}")
            installation = await _round(broken, installation, callers, victim, random)
        result.add(await settled(broken, journal.read()))
        result.rounds = rounds
    told = journal.read().values()
    result.figures = {
        "killed": ", ".join(f"{victims.count(kind)} {kind}" for kind in VICTIMS if kind in victims),
        "without an answer": sum("indeterminate" in request.outcomes for request in told),
    }
    result.demand(result.figures["without an answer"], "no kill has met a request: nothing was tried")
    return result


async def _round(
    broken: Machine, installation: Command, callers: Callers, victim: str, random: Random
) -> Command:
    stop = asyncio.Event()
    load = asyncio.create_task(callers.crowd(CONNECTIONS, stop))
    await asyncio.sleep(random.uniform(*BEFORE))
    pids = installation.pids(victim)
    processes.send(random.choice(pids), signal.SIGKILL)
    if victim == "up":
        await installation.ended()
        installation = await broken.up()
    await served_again(callers)
    await asyncio.sleep(AFTER)
    stop.set()
    await load
    await callers.resend()
    return installation


async def served_again(callers: Callers, within: float = 60.0) -> float:
    """Seconds until the first 2xx to a request that is sent from now on. Raises ``TimeoutError``."""
    loop, since = asyncio.get_running_loop(), len(callers.answers)
    began = loop.time()
    while not any(answer.outcome == OK for answer in callers.answers[since:]):
        if loop.time() > began + within:
            answered = Counter(answer.status for answer in callers.answers[since:])
            raise TimeoutError(f"nobody is served: {dict(answered)}")
        await asyncio.sleep(0.02)
    return loop.time() - began
