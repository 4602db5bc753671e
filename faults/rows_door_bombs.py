"""Requests that cost more than their bytes, beside callers who want to be served."""

import asyncio

import orjson

from faults.audit import settled
from faults.callers import Callers
from faults.machine import machine
from faults.rows import Result, Run, row
from faults.siege import RATIO, Siege, turn_of
from faults.traffic import CHANNEL, OUR_NUMBER, PATH, TOKEN, Mixed

#: a channel whose door takes anybody
OPEN = "open"
CHANNELS = {
    CHANNEL: {"provider": "sinch_mms", "tokens": [TOKEN], "from": [OUR_NUMBER], "api_key": "none"},
    OPEN: {"provider": "voicetel", "insecure": True},
}
#: seconds of a turn without them
SECONDS = 14.0
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
    seconds, result = (2.0 if run.short else SECONDS), Result()
    async with machine() as served:
        await served.database()
        command = await served.serve(workers=2, POSTBACK_CHANNELS=orjson.dumps(CHANNELS).decode())
        journal = run.journal()
        callers = Callers(served.address, Mixed(run.seed, await served.sent_messages()), journal)
        siege = Siege(served, command, callers)
        await turn_of(callers, 1.0)
        for place in range(1, rounds + 1):
            run.progress(f"round {place} of {rounds}, without them")
            await siege.alone(seconds)
            run.progress(f"round {place} of {rounds}, {number} bombs")
            await siege.beside("faults.door_bombs", PATH, f"/hooks/{OPEN}/any", str(number))
            await asyncio.sleep(1.0)
        callers.hang_up()
        result.add(await settled(served, journal.read()))
        result.rounds = rounds
    _judge(result, siege, number, short=run.short)
    return result


def _judge(result: Result, siege: Siege, number: int, *, short: bool) -> None:
    (p99, without), growth = siege.hundredths, max(siege.growth) / 1024
    result.figures = {
        "bombs": number,
        "p99 ms": round(p99, 1),
        "without them": round(without, 1),
        "ratio": round(p99 / without, 2),
        "MB at most": round(growth, 1),
    }
    siege.judge(result)
    # of a few seconds the hundredth is a handful of answers: too few to compare
    result.demand(short or p99 <= RATIO * without, f"the others' p99 is {p99 / without:.2f} x")
    result.demand(growth <= MOST_MB, f"the web processes grew by {growth:.0f} MB")
