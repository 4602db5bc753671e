"""The primary of two Postgres servers dies under load, and its standby takes over."""

import asyncio
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from time import perf_counter
from uuid import UUID

from faults import spools
from faults.apps import Told
from faults.audit import balance, settled
from faults.replicated import PATIENCE, Installed, replicated
from faults.rows import Result, Run, row

#: seconds of load before the primary dies, and that the standby is cut off before that
LOAD, CUT = 1.5, 2.5
#: seconds in which intake has to be back in Postgres, counted from the promotion
BACK = 10.0

UNAVAILABLE = 503
_PAYLOADS = "SELECT count(*) FROM postback.payload"


async def _killed(installed: Installed) -> None:
    """Kills the primary and all its backends, at once."""
    await installed.pair.primary.end()


async def _cut_off(installed: Installed) -> None:
    """Cuts the standby off, so that commits wait for it, and then kills the primary with what waits."""
    await installed.pair.cut()
    await asyncio.sleep(CUT)
    installed.spooled += spools.waiting(installed.broken)
    await installed.pair.primary.end()


async def _frozen(installed: Installed) -> None:
    """Freezes the primary, as if its machine were gone: connections stay open, and nobody answers."""
    installed.pair.primary.send(signal.SIGSTOP)
    await asyncio.sleep(1)


DEATHS: dict[str, Callable[[Installed], Awaitable[None]]] = {
    "killed": _killed,
    "standby cut off, then killed": _cut_off,
    "frozen": _frozen,
}


@row(
    2,
    "failover",
    "the primary of a synchronous standby killed, frozen, or killed while the standby is cut off; the "
    "standby promoted",
    f"acknowledged and not stored: 0; intake back in Postgres within {BACK:.0f} s by itself; no number of "
    "the feed for two events; no send twice and none forgotten",
)
async def failover(run: Run) -> Result:
    result = Result()
    deaths = ["killed"] if run.short else ([*DEATHS] * 4)[:10]
    async with replicated(run, synchronous=True) as installed:
        for number, death in enumerate(deaths, 1):
            run.progress(f"round {number} of {len(deaths)}, {death}")
            back = await _round(installed, DEATHS[death])
            result.demand(back <= BACK, f"{death}: intake was back after {back:.1f} s")
            told = f"{death}, back after s"
            result.figures[told] = max(round(back, 1), float(result.figures.get(told, 0)))
            await installed.pair.follow()
        run.progress("until everything has come to its end")
        result.demand(await installed.sending.drained(PATIENCE), f"stuck: {await installed.sending.states()}")
        result.add(await settled(installed.broken, installed.callers.journal.read()))
        if not run.short:
            result.demand(installed.spooled, "nothing was in the spool, so no commit has waited")
            result.figures["in the spool when the standby was cut off"] = installed.spooled
        await _judge_feed(installed, result)
        await _judge_sends(installed, result)
        result.rounds = len(deaths)
    if not run.short:
        run.progress("an asynchronous standby")
        await _asynchronous(run, result)
    return result


async def _round(installed: Installed, death: Callable[[Installed], Awaitable[None]]) -> float:
    """Returns the seconds from the promotion until requests were stored in the new primary."""
    stop = asyncio.Event()
    load = asyncio.create_task(installed.load(stop))
    await asyncio.sleep(LOAD)
    await death(installed)
    await installed.pair.promote()
    back = await _stored_again(installed)
    stop.set()
    await load
    await installed.pair.standby.end()
    return back


async def _stored_again(installed: Installed) -> float:
    promoted = perf_counter()
    async with installed.broken.connection() as connection:
        before = await connection.fetchval(_PAYLOADS)
        while await connection.fetchval(_PAYLOADS) == before:
            if perf_counter() > promoted + PATIENCE:
                return float("inf")
            await asyncio.sleep(0.02)
    return perf_counter() - promoted


async def _judge_feed(installed: Installed, result: Result) -> None:
    stored = await _stored_events(installed)
    for name, told in (("reader", installed.reader.told), ("subscriber", installed.posted)):
        missed = await _missed(stored, told)
        wrong = [number for number, event in told.events.items() if stored.get(number) != event]
        result.demand(not missed, f"the {name} has missed {missed} events")
        result.demand(not told.reused, f"the {name} was told {len(told.reused)} numbers for two events each")
        result.demand(not wrong, f"{len(wrong)} events that the {name} was told are not so in the feed")
    result.demand(not installed.reader.resets, "the reader was told that something is lost")
    result.figures["events read and posted"] = len(stored)


async def _missed(stored: Mapping[int, UUID], told: Told) -> int:
    """Returns the number of events of *stored* that were not *told* even some time later."""
    with suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE):
            while stored.keys() - told.events.keys():  # noqa: ASYNC110 - others tell it
                await asyncio.sleep(0.1)
    return len(stored.keys() - told.events.keys())


async def _stored_events(installed: Installed) -> dict[int, UUID]:
    async with installed.broken.connection() as connection:
        return {row["seq"]: row["id"] for row in await connection.fetch("SELECT seq, id FROM postback.event")}


async def _judge_sends(installed: Installed, result: Result) -> None:
    sending = installed.sending
    calls, statuses = await sending.calls(), await sending.statuses()
    twice = sum(times > 1 for times in calls.values())
    strangers = calls.keys() - set(sending.messages.values())
    gone = sending.messages.keys() - statuses.keys()
    stuck = Counter(status for status in statuses.values() if status != "delivered")
    result.demand(not twice, f"{twice} people were written to twice")
    result.demand(not strangers, f"{len(strangers)} people were written to although nobody was told so")
    result.demand(not gone, f"{len(gone)} sends are gone")
    result.demand(not stuck, f"not delivered: {dict(stuck)}")
    others = {status: n for status, n in installed.refused.items() if status != UNAVAILABLE}
    result.demand(not others, f"sends were answered otherwise than 503: {others}")
    result.figures |= {"sends": len(statuses), "answered 503 before": installed.refused[UNAVAILABLE]}


async def _asynchronous(run: Run, result: Result) -> None:
    """Tries the same without synchronous replication, where acknowledged requests are lost: counts them, and
    judges what the reader is told."""
    async with replicated(run, synchronous=False) as installed:
        await _round(installed, _cut_off)
        lost = (await balance(installed.broken, installed.callers.journal.read())).lost
        stored = await _stored_events(installed)
        told = installed.reader.told
        missed = await _missed(stored, told)
    reused = [n for n, event in told.events.items() if stored.get(n, event) != event]
    result.demand(lost, "asynchronous: nothing was lost, so nothing was tried")
    result.demand(not reused and not told.reused, f"asynchronous: {len(reused)} numbers were given twice")
    result.demand(not missed, f"asynchronous: the reader has missed {missed} events")
    result.demand(installed.reader.resets, "asynchronous: the reader was not told that something is lost")
    result.figures[f"asynchronous, standby {CUT} s behind: acknowledged and lost"] = lost
