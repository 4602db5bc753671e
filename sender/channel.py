"""One channel's sends: claimed as turns come free, called side by side, settled as the answers come."""

import asyncio
import random
from collections.abc import Collection
from contextlib import suppress
from dataclasses import replace
from uuid import UUID

import structlog

from models.errors import ErrorClass
from models.sends import Fate, Outcome
from receiver.commit import Unavailable
from receiver.config import ChannelSettings
from receiver.metrics.definitions import CALLS
from receiver.our_numbers import is_foreign
from receiver.outbox import (
    CALL_LEASE,
    CALL_WITH_FILES_LEASE,
    Claim,
    Outbox,
    PendingCall,
    Settlement,
    uncertain,
)
from receiver.providers.base import Provider
from receiver.waiting import Waiting
from sender.call import Calls
from sender.pace import Account
from sender.settling import Settling

log = structlog.get_logger()
#: that of all channels of this process
_waiting = Waiting("sends")

CONCURRENCY = 64
#: seconds between looks at the queue when nobody says that there is something new
POLL = 1.0
#: seconds before the second try; doubled for each further one
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 300.0
#: seconds before a mark of which nobody knows is made again; doubled for each further one
FIRST_MARK_PAUSE, LONGEST_MARK_PAUSE = 0.1, 2.0
#: seconds for what a call came to, to be written after the call was broken off
LAST_WORDS = 2.0


class ChannelSender:
    """Sends what the outbox holds for *channel*, at most `CONCURRENCY` calls at a time, and no faster than
    *account* may be called."""

    def __init__(
        self,
        channel: ChannelSettings,
        provider: Provider,
        outbox: Outbox,
        calls: Calls,
        settling: Settling,
        account: Account | None = None,
        foreign: frozenset[str] = frozenset(),
    ) -> None:
        self._foreign = foreign
        self._account = account or Account(channel.name, channel.rate or provider.rate)
        self._channel, self._provider = channel, provider
        self._outbox, self._makes, self._settling = outbox, calls, settling
        self._wake = asyncio.Event()
        self._calls: dict[asyncio.Task[None], UUID] = {}
        self._paused_until = 0.0
        expected = provider.expects_reports if channel.expects_reports is None else channel.expects_reports
        self._report_within = (channel.report_window or provider.report_window) if expected else 0

    def wake(self) -> None:
        """Something was queued, perhaps for this channel."""
        self._wake.set()

    @property
    def under_way(self) -> Collection[UUID]:
        """The submissions of the calls that are not settled yet."""
        return self._calls.values()

    async def run(self) -> None:
        """Until cancelled. Calls under way go on: see `finish`."""
        while True:
            self._wake.clear()
            try:
                claimed = await self._claim()
            except Exception as error:  # noqa: BLE001 - the database is away: look again
                _waiting.failed(self, error)
                claimed = 0
            else:
                _waiting.worked(self)
            if not claimed:
                with suppress(TimeoutError):
                    async with asyncio.timeout(POLL):
                        await self._wake.wait()

    async def finish(self, patience: float) -> None:
        """Waits up to *patience* seconds for the calls under way, then breaks off the rest: what became of
        those nobody will know, and that is written down."""
        if not self._calls:
            return
        _, late = await asyncio.wait([*self._calls], timeout=patience)
        for seconds in (LAST_WORDS, None):
            for call in late:
                call.cancel()
            if late:
                _, late = await asyncio.wait(late, timeout=seconds)

    async def _claim(self) -> int:
        """Starts as many calls as there is room for; answers with their number."""
        loop = asyncio.get_running_loop()
        free = CONCURRENCY - len(self._calls)
        if self._paused_until > loop.time() or free <= 0:
            await asyncio.sleep(0.02 if free <= 0 else min(self._paused_until - loop.time(), POLL))
            return 1
        claims = await self._outbox.claim(
            self._channel.name,
            free,
            self._account.rate,
            account=self._account.name,
            recipients_per_call=self._provider.recipients_per_call,
            call_lease=CALL_WITH_FILES_LEASE if self._provider.takes_files else CALL_LEASE,
            reference_kinds=self._provider.reference_kinds,
            app_reference=self._channel.sends_app_reference,
        )
        for claim in claims:
            call = asyncio.create_task(self._send(claim))
            self._calls[call] = claim.submission_id
            call.add_done_callback(self._calls.pop)
        return len(claims)

    async def _send(self, claim: Claim) -> None:
        try:
            await asyncio.sleep(claim.turn_in)
            pending = await self._begun(claim)
            if pending is not None:
                await self._settle(pending, await self._outcome(pending))
        except Exception:
            log.exception("send failed", channel=self._channel.name, ids=[str(row) for row in claim.ids])
        finally:
            self._wake.set()  # a place is free

    async def _begun(self, claim: Claim) -> PendingCall | None:
        """The call to make, None where it is not ours to make. A mark of which nobody knows whether it was
        written is made again: a row that stood as called, with no call made, would end as uncertain."""
        pause = FIRST_MARK_PAUSE
        asked = False
        try:
            while True:
                try:
                    pending = await self._outbox.begin(claim)
                except Unavailable:
                    asked = True
                    if await self._settling.pause(pause):
                        await self._take_back(claim)
                        return None
                    pause = min(pause * 2, LONGEST_MARK_PAUSE)
                    continue
                if pending is None and asked:
                    await self._take_back(claim)
                return pending
        except asyncio.CancelledError:
            await self._take_back(claim)
            raise

    async def _take_back(self, claim: Claim) -> None:
        """Queues again what may stand as called although nothing was."""
        outcome = Outcome(Fate.NOT_SENT, provider_message="not called: the database was away")
        unsent = [
            Settlement(
                row, "message", claim.submission_id, 0, self._channel.name, self._provider.name, outcome, 0.0
            )
            for row in claim.ids
        ]
        await asyncio.gather(*map(self._settling.settle, unsent))

    async def _outcome(self, pending: PendingCall) -> Outcome:
        try:
            return await self._makes.outcome(pending)
        except asyncio.CancelledError:  # by `finish`; what is left to do is to write it down
            return uncertain("the sender was told to stop before the carrier had answered")

    async def _settle(self, pending: PendingCall, outcome: Outcome) -> None:
        """Every row of the call for itself: its carrier may take one recipient and refuse another."""
        settlements = [
            self._settlement(pending, row, outcome.results.get(recipient or "", outcome))
            for row, recipient in pending.recipients.items()
        ]
        for settlement in settlements:
            CALLS.add(self._channel.name, settlement.outcome.fate.value)
            log.info(
                "called",
                channel=self._channel.name,
                id=str(settlement.id),
                fate=settlement.outcome.fate.value,
                code=settlement.outcome.provider_code,
                attempt=settlement.attempt,
                again_in=settlement.again_in,
            )
        await asyncio.gather(*map(self._settling.settle, settlements))

    def _settlement(self, pending: PendingCall, row: UUID, outcome: Outcome) -> Settlement:
        again_in = None
        if outcome.sender is not None and is_foreign(outcome.sender, self._foreign):
            outcome = replace(outcome, sender=None)
        if outcome.fate in (Fate.THROTTLED, Fate.NOT_SENT):
            again_in = self._pause(pending.attempt, outcome)
        elif outcome.fate is Fate.UNDECIDED and outcome.status is None:
            outcome = uncertain(outcome.provider_message or "the answer makes no sense")
        return Settlement(
            id=row,
            kind=pending.kind,
            submission_id=pending.submission.id,
            attempt=pending.attempt,
            channel=self._channel.name,
            provider=self._provider.name,
            outcome=outcome,
            again_in=again_in,
            recipient=pending.recipients[row],
            report_within=self._report_within if outcome.fate is Fate.ACCEPTED else None,
        ).timely()

    def _pause(self, attempt: int, outcome: Outcome) -> float:
        """Seconds until the next try. A carrier that says "too fast" means the whole channel; one that has
        a fault of its own, or with one recipient, does not."""
        backoff = min(FIRST_PAUSE * 2 ** (attempt - 1), LONGEST_PAUSE) * random.uniform(0.8, 1.2)  # noqa: S311
        # "at once" is no time to wait for: whoever says so to everything would be called without end
        pause = max(outcome.retry_after, FIRST_PAUSE) if outcome.retry_after else backoff
        if outcome.error is ErrorClass.THROTTLED:
            self._paused_until = asyncio.get_running_loop().time() + min(pause, LONGEST_PAUSE)
        return pause
