"""One call to a carrier: what it says, how it is made, and what its answer means."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime

import structlog

from models.errors import ErrorClass
from models.sends import Answer, Call, Fate, Outcome
from models.status import Status
from receiver import sendable
from receiver.config import ChannelSettings
from receiver.http import AnswerLost, Client, NotSent
from receiver.metrics.definitions import CALL_SECONDS
from receiver.outbox import PendingCall, uncertain
from receiver.providers.base import Provider
from receiver.understand import place_of
from sender.files import OutgoingFiles, UnusableFile, check_files
from sender.looking import Looking

log = structlog.get_logger()


class Calls:
    """The calls of *channel*. *keep* takes an answer that our own code could not read, and the reason."""

    def __init__(
        self,
        channel: ChannelSettings,
        provider: Provider,
        client: Client,
        files: OutgoingFiles,
        keep: Callable[[Answer, str], Awaitable[None]],
    ) -> None:
        self._channel, self._provider = channel, provider
        self._client, self._files, self._keep = client, files, keep
        self._looking = Looking(files.networks)

    async def outcome(self, pending: PendingCall) -> Outcome:
        """Makes the call, if there is one to make, and returns what became of it. Raises nothing but
        ``CancelledError``, and then nobody knows whether the request had left."""
        try:
            prepared = await self._prepared(pending)
        except UnusableFile as error:
            return Outcome(
                Fate.REFUSED, status=Status.REJECTED, error=error.error, provider_message=str(error)
            )
        except NotSent as error:
            return Outcome(Fate.NOT_SENT, provider_message=str(error))
        except Exception as error:  # noqa: BLE001 - a fault of ours: nothing has left
            log.error("a call cannot be made", channel=self._channel.name, error=place_of(error))
            return Outcome(Fate.NOT_SENT, provider_message=f"not called: {type(error).__name__}")
        if isinstance(prepared, Outcome):
            return prepared
        call, warnings = prepared
        return _warned(await self._called(call), warnings)

    async def _prepared(self, pending: PendingCall) -> tuple[Call, tuple[str, ...]] | Outcome:
        """The call, with warnings of its files, or why there is none."""
        for reason in sendable.reasons(self._channel, self._provider):
            return Outcome(Fate.NOT_SENT, provider_message=reason)
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
        submission = self._files.addressed(submission)
        if self._provider.takes_files:
            submission = await self._files.put_into(submission)
            check_files(submission, self._provider, self._channel)
        submission, warnings = await self._looking.at(submission, self._provider, self._channel)
        return self._provider.call(submission, self._channel), warnings

    async def _called(self, call: Call) -> Outcome:
        try:
            with CALL_SECONDS.time(self._channel.name):
                answer = await self._client.call(call)
        except NotSent as error:
            return Outcome(Fate.NOT_SENT, provider_message=str(error))
        except AnswerLost as error:
            return uncertain(f"no answer: {error}")
        except Exception as error:  # noqa: BLE001 - a fault of ours: it may have left
            log.error("a call failed", channel=self._channel.name, error=place_of(error))
            return uncertain(f"the call failed: {type(error).__name__}")
        try:
            return self._provider.outcome(answer)
        except Exception as error:  # noqa: BLE001 - a fault of ours must not cost the carrier's words
            reason = f"the answer could not be read: {type(error).__name__}"
            log.error("answer not understood", channel=self._channel.name, error=place_of(error))
            await self._keep(answer, reason)
            return uncertain(f"{reason} (HTTP {answer.status})")


def _warned(outcome: Outcome, warnings: tuple[str, ...]) -> Outcome:
    """Returns *outcome*, and that of each recipient, with *warnings*."""
    if not warnings:
        return outcome
    results = {recipient: replace(one, warnings=warnings) for recipient, one in outcome.results.items()}
    return replace(outcome, warnings=warnings, results=results)
