"""Requests that cost more than their bytes, beside callers who want to be served."""

import asyncio
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import orjson

from faults.audit import settled
from faults.callers import Answer, Callers, latency, share_answered
from faults.journal import Journal
from faults.machine import machine
from faults.rows import Result, Run, row
from faults.rows_door_slow import RATIO, SECONDS, besieged, resident, turn_of
from faults.traffic import CHANNEL, OUR_NUMBER, PATH, TOKEN, Mixed

#: a channel whose door takes anybody
OPEN = "open"
CHANNELS = {
    CHANNEL: {"provider": "sinch_mms", "tokens": [TOKEN], "from": [OUR_NUMBER], "api_key": "none"},
    OPEN: {"provider": "voicetel", "insecure": True},
}
#: megabytes that the web processes, two of them, may grow by together: what a process may have in hand is 64
MOST_MB = 160


@row(
    8,
    "bombs",
    "25 requests a second that cost more than their bytes: compressed bombs, 349,000 elements, nesting, "
    "parts, fields, headers, and bodies of a MiB without end at a door without tokens",
    "2xx and kept, 431 or 503; others' p99 at most 2 x that without; memory bounded",
)
async def bombs(run: Run) -> Result:
    number, rounds = (60, 1) if run.short else (350, 3)
    seconds, result, found = (2.0 if run.short else SECONDS), Result(), _Found()
    async with machine() as served:
        await served.database()
        command = await served.serve(workers=2, POSTBACK_CHANNELS=orjson.dumps(CHANNELS).decode())
        journal = Journal(run.scratch / "journal")
        callers = Callers(served.address, Mixed(run.seed, await served.sent_messages()), journal)
        await turn_of(callers, 1.0)
        for place in range(1, rounds + 1):
            run.progress(f"round {place} of {rounds}, without them")
            found.without.append(await turn_of(callers, seconds))
            before = resident(command)
            run.progress(f"round {place} of {rounds}, {number} bombs")
            answers, told, peak = await besieged(
                served, command, callers, "faults.door_bombs", PATH, f"/hooks/{OPEN}/any", str(number)
            )
            found.with_them.append(answers)
            found.told.append(told)
            found.growth.append(peak - before)
            await asyncio.sleep(1.0)
        callers.hang_up()
        result.add(await settled(served, journal.read()))
        result.rounds = rounds
    _judge(result, found, number, short=run.short)
    return result


@dataclass(slots=True)
class _Found:
    """What was measured, round by round; memory in kilobytes."""

    without: list[list[Answer]] = field(default_factory=list)
    with_them: list[list[Answer]] = field(default_factory=list)
    told: list[dict[str, Any]] = field(default_factory=list)
    growth: list[int] = field(default_factory=list)


def _judge(result: Result, found: _Found, number: int, *, short: bool) -> None:
    p99, beside = (
        median(latency(answers, 0.99) for answers in turns) for turns in (found.with_them, found.without)
    )
    growth = max(found.growth) / 1024
    result.figures = {
        "bombs": number,
        "p99 ms": round(p99, 1),
        "without them": round(beside, 1),
        "ratio": round(p99 / beside, 2),
        "MB at most": round(growth, 1),
    }
    for told in found.told:
        for name, kind in told.items():
            result.demand(not kind["wrong"], f"{name}: answered {kind['answers']}")
    # of a few seconds the hundredth is a handful of answers: too few to compare
    result.demand(short or p99 <= RATIO * beside, f"the others' p99 is {p99 / beside:.2f} x")
    result.demand(growth <= MOST_MB, f"the web processes grew by {growth:.0f} MB")
    answered = share_answered([answer for answers in found.with_them for answer in answers])
    result.demand(answered == 1.0, f"only {answered:.2%} of the others' requests were answered 2xx")
