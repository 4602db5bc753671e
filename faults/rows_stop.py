"""SIGTERM while everybody calls: who was taken in is answered before the door closes."""

import asyncio
import signal
from time import perf_counter

from faults.audit import settled, stored_payloads
from faults.callers import Callers
from faults.journal import INDETERMINATE, Journal
from faults.machine import Machine, machine
from faults.rows import Result, Run, row
from faults.traffic import Mixed

CONNECTIONS = 24
#: seconds within which the process has to be gone
EXIT = 10.0


@row(
    5,
    "stopped",
    "SIGTERM under load, to one worker and to two under their supervisor",
    "every request that was taken in is answered; exit within 10 s, with code 0",
)
async def stopped(run: Run) -> Result:
    result, rounds, random = Result(), 2 if run.short else 12, run.random
    async with machine() as installed:
        await installed.database()
        journal = run.journal()
        callers = Callers(installed.address, Mixed(run.seed, await installed.sent_messages()), journal)
        longest = 0.0
        for number in range(rounds):
            workers = 1 + number % 2
            run.progress(f"round {number + 1} of {rounds}, workers: {workers}")
            code, taken = await _round(installed, callers, workers, random.uniform(0.3, 1.0))
            longest = max(longest, taken)
            result.demand(code == 0, f"the exit code was {code}")
        result.demand(longest <= EXIT, f"it took {longest:.1f} s to end")
        unheard = await _unheard(installed, journal)
        result.demand(not unheard, f"{unheard} requests were stored and their callers never told")
        cut = sum(answer.outcome == INDETERMINATE for answer in callers.answers)
        callers.hang_up()
        await installed.serve()  # which takes over what the others have left in their spools
        await callers.resend()
        result.add(await settled(installed, journal.read()))
        result.rounds = rounds
    result.figures = {"longest exit s": round(longest, 2), "cut off unread": cut - unheard}
    return result


async def _round(installed: Machine, callers: Callers, workers: int, seconds: float) -> tuple[int, float]:
    """The exit code, and the seconds from the signal to the end."""
    served = await installed.serve(workers=workers)
    stop = asyncio.Event()
    load = asyncio.create_task(callers.crowd(CONNECTIONS, stop))
    await asyncio.sleep(seconds)
    began = perf_counter()
    served.send(signal.SIGTERM)
    code = await served.ended()
    taken = perf_counter() - began
    stop.set()
    await load
    return code, taken


async def _unheard(installed: Machine, journal: Journal) -> int:
    """Requests that are stored, and whose callers do not know: none has been sent a second time yet."""
    stored = {payload["body"] for payload in await stored_payloads(installed)}
    return sum(told.outcomes == [INDETERMINATE] and told.body in stored for told in journal.read().values())
