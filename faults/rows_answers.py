"""Carriers answer while Postgres takes nothing: no answer is forgotten, and no message is sent twice."""

import asyncio
import signal
from collections import Counter
from collections.abc import Iterator
from typing import Any

from faults.command import Command
from faults.outages import Outage, frozen, locked, read_only, stopped
from faults.rows import Result, Run, row
from faults.rows_sender import Sending, installed

#: messages of each answer in a round, and the fates that a carrier gives them
EACH, FATES = 12, ("taken", "refused", "throttled")
#: seconds until a carrier answers, and of an outage; the longest outlives the lease of a call, which is 45 s
SLOW, SHORT, LONG = 1.0, 5.0, 50.0
#: seconds from the end of an outage until all is sent, another sender's start included
PATIENCE = 40.0

_OUTAGES: dict[str, Outage] = {
    "read-only": read_only,
    "locked": locked,
    "frozen": frozen,
    "stopped": stopped,
}


class Answers:
    """What the carrier says to whom, and what becomes of it."""

    def __init__(self, sending: Sending) -> None:
        self.sending = sending
        #: by number
        self.fates: dict[str, str] = {}

    async def calls_begin(self) -> None:
        """Messages whose calls are under way, to be answered in a moment: thirds are taken, refused and
        throttled once."""
        fresh = {fate: self.sending.people(EACH) for fate in FATES}
        await self.sending.order(slow=SLOW)
        await self.sending.order(slow=SLOW, answer="refused", to=fresh["refused"])
        await self.sending.order(slow=SLOW, answer="throttled", to=fresh["throttled"], next=EACH)
        people = [to for together in zip(*fresh.values(), strict=True) for to in together]
        self.fates |= {to: fate for fate, numbers in fresh.items() for to in numbers}
        await self.sending.accept(people=people)
        await self.sending.until("calling", len(people))

    async def judge(self, result: Result) -> None:
        calls, told = await self.sending.calls(), await self.sending.messages_told()
        wanted = {to: 2 if fate == "throttled" else 1 for to, fate in self.fates.items()}
        found = Counter[str]()
        for name, to in self.sending.messages.items():
            found.update(_mistakes(self.fates[to], told.get(name), calls[to] - wanted[to]))
        result.requests = result.acknowledged = len(self.sending.messages)
        result.doubled = found["called once too often"]
        result.lost = sum(found.values()) - result.doubled
        for mistake, times in found.items():
            result.demand(False, f"{mistake}: {times}")
        result.figures = {
            "calls": sum(calls.values()),
            "ids kept": sum(len(message["provider_message_ids"]) for message in told.values()),
            "rejected": sum(message["status"] == "rejected" for message in told.values()),
            "throttled, and sent in the end": sum(calls[to] == 2 for to in wanted),
            "uncertain, ever": sum("uncertain" in _statuses(message) for message in told.values()),
        }


def _statuses(message: dict[str, Any]) -> list[str]:
    return [event["status"] for event in message["timeline"]]


def _mistakes(fate: str, message: dict[str, Any] | None, too_often: int) -> Iterator[str]:
    """What is wrong with *message*, which had *too_often* calls more than it should have."""
    if message is None:
        yield "gone"
        return
    if too_often > 0:
        yield "called once too often"
    if too_often < 0:
        yield "not sent again"
    if "uncertain" in _statuses(message):
        yield "uncertain at some time"
    wanted, ids = ("rejected", 0) if fate == "refused" else ("queued", 1)
    if message["status"] != wanted:
        yield f"{message['status']} instead of {wanted}"
    if len(message["provider_message_ids"]) != ids:
        yield "without its carrier's id"


@row(
    11,
    "answers",
    "Postgres read-only, locked, frozen or stopped while carriers take, refuse and throttle sends; the "
    "sender told to stop, or killed, meanwhile",
    "every id is kept, every refusal told, what was throttled is sent again; nothing sent twice, nothing "
    "uncertain",
)
async def answers(run: Run) -> Result:
    result = Result()
    async with installed() as sending:
        await sending.no_callbacks()
        tried = Answers(sending)
        sender = await sending.broken.background("send")
        for outage, seconds, sent in _rounds(run.short):
            ending = f", {sent.name}" if sent else ""
            run.progress(f"{outage} for {seconds:g} s{ending}")
            await tried.calls_begin()
            async with _OUTAGES[outage](sending.broken):
                await asyncio.sleep(seconds)
                if sent:
                    await _end(sender, sent)
            if sent:
                sender = await sending.broken.background("send")
            drained = await sending.drained(PATIENCE)
            result.demand(drained, f"stuck in the outbox: {await sending.states()}")
            result.rounds += 1
        await tried.judge(result)
    return result


def _rounds(short: bool) -> Iterator[tuple[str, float, signal.Signals | None]]:
    """The outage, its seconds, and what the sender is sent in it."""
    if short:
        yield "read-only", SHORT, signal.SIGTERM
        return
    for outage in _OUTAGES:
        yield outage, SHORT, None
        yield outage, SHORT, signal.SIGTERM
        # its answers are on disk
        yield outage, SHORT, signal.SIGKILL
    yield "locked", LONG, None
    yield "stopped", LONG, signal.SIGTERM


async def _end(sender: Command, sent: signal.Signals) -> None:
    sender.send(sent)
    await sender.ended()
