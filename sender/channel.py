"""One channel's sends: claimed as turns come free, called side by side, settled as the answers come."""

import asyncio
import random
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import structlog

from models.errors import ErrorClass
from models.events import Fate, Outcome
from models.status import Status
from receiver.commit import Unavailable
from receiver.config import ChannelSettings
from receiver.http import AnswerLost, Client, NotSent
from receiver.metrics.definitions import CALL_SECONDS, CALLS
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
from sender.files import OutgoingFiles, UnusableFile, check_files

log = structlog.get_logger()

CONCURRENCY = 64
#: seconds between looks at the queue when nobody says that there is something new
POLL = 1.0
#: seconds before the second try; doubled for each further one
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 300.0
#: how long a message without an expiry of its own is tried
PATIENCE = timedelta(days=3)


class ChannelSender:
    """Sends what the outbox holds for *channel*, at most `CONCURRENCY` calls at a time."""

    def __init__(
        self,
        channel: ChannelSettings,
        provider: Provider,
        outbox: Outbox,
        client: Client,
        files: OutgoingFiles,
    ) -> None:
        self._channel, self._provider = channel, provider
        self._outbox, self._client, self._files = outbox, client, files
        self._wake = asyncio.Event()
        self._calls: set[asyncio.Task[None]] = set()
        self._paused_until = 0.0
        expected = provider.expects_reports if channel.expects_reports is None else channel.expects_reports
        self._report_within = (channel.report_window or provider.report_window) if expected else 0

    def wake(self) -> None:
        """Something was queued, perhaps for this channel."""
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled. Calls under way go on: see `finish`."""
        while True:
            self._wake.clear()
            try:
                claimed = await self._claim()
            except Exception as error:  # noqa: BLE001 - the database is away: look again
                log.warning(
                    "cannot claim", channel=self._channel.name, reason=f"{type(error).__name__}: {error}"
                )
                claimed = 0
            if not claimed:
                with suppress(TimeoutError):
                    async with asyncio.timeout(POLL):
                        await self._wake.wait()

    async def finish(self, patience: float) -> None:
        """Waits up to *patience* seconds for the calls under way; the rest are found by their leases."""
        if self._calls:
            _, late = await asyncio.wait(self._calls, timeout=patience)
            for call in late:
                call.cancel()

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
            self._channel.rate or self._provider.rate,
            recipients_per_call=self._provider.recipients_per_call,
            call_lease=CALL_WITH_FILES_LEASE if self._provider.takes_files else CALL_LEASE,
        )
        for claim in claims:
            call = asyncio.create_task(self._send(claim))
            self._calls.add(call)
            call.add_done_callback(self._calls.discard)
        return len(claims)

    async def _send(self, claim: Claim) -> None:
        try:
            await asyncio.sleep(claim.turn_in)
            pending = await self._outbox.begin(claim)
            if pending is None:
                return
            outcome = await self._outcome(pending)
            await self._settle(pending, outcome)
        except Unavailable as error:
            # whatever was marked is found by its lease when the database is back
            log.error(
                "not settled",
                channel=self._channel.name,
                ids=[str(row) for row in claim.ids],
                reason=str(error),
            )
        except Exception:
            log.exception("send failed", channel=self._channel.name, ids=[str(row) for row in claim.ids])
        finally:
            self._wake.set()  # a place is free

    async def _outcome(self, pending: PendingCall) -> Outcome:
        submission = pending.submission
        if submission.expires_at and submission.expires_at <= datetime.now(UTC):
            return Outcome(
                Fate.REFUSED,
                status=Status.EXPIRED,
                error=ErrorClass.EXPIRED,
                provider_message="expired before it could be sent",
            )
        if pending.awaits_template:
            return Outcome(Fate.THROTTLED, provider_message="its template is not yet stored with the carrier")
        try:
            if self._provider.takes_files:
                submission = await self._files.put_into(submission)
                check_files(submission, self._provider, self._channel)
            with CALL_SECONDS.time(self._channel.name):
                answer = await self._client.call(self._provider.call(submission, self._channel))
        except UnusableFile as error:
            return Outcome(
                Fate.REFUSED, status=Status.REJECTED, error=error.error, provider_message=str(error)
            )
        except NotSent as error:
            return Outcome(Fate.NOT_SENT, provider_message=str(error))
        except AnswerLost as error:
            return uncertain(f"no answer: {error}")
        return self._provider.outcome(answer)

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
        await asyncio.gather(*(self._outbox.settle(settlement) for settlement in settlements))

    def _settlement(self, pending: PendingCall, row: UUID, outcome: Outcome) -> Settlement:
        again_in = None
        if outcome.fate in (Fate.THROTTLED, Fate.NOT_SENT):
            if _age(row) > PATIENCE:
                outcome = replace(outcome, fate=Fate.REFUSED, status=Status.EXPIRED, error=ErrorClass.EXPIRED)
            else:
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
        )

    def _pause(self, attempt: int, outcome: Outcome) -> float:
        """Seconds until the next try. A carrier that says "too fast" means the whole channel; one that has
        a fault of its own, or with one recipient, does not."""
        backoff = min(FIRST_PAUSE * 2 ** (attempt - 1), LONGEST_PAUSE) * random.uniform(0.8, 1.2)  # noqa: S311
        # "at once" is no time to wait for: whoever says so to everything would be called without end
        pause = max(outcome.retry_after, FIRST_PAUSE) if outcome.retry_after else backoff
        if outcome.error is ErrorClass.THROTTLED:
            self._paused_until = asyncio.get_running_loop().time() + min(pause, LONGEST_PAUSE)
        return pause


def _age(row: UUID) -> timedelta:
    """Since the message was accepted; its id holds the time."""
    return datetime.now(UTC) - datetime.fromtimestamp((row.int >> 80) / 1000, UTC)
