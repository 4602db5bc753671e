"""What became of a call, and what is written of it: its rows' states, their events, a template's state."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from uuid_utils.compat import uuid7

from models.errors import SPECIFICITY, ErrorClass
from models.events import TemplateState
from models.sends import Fate, Outcome
from models.status import Status, bits
from receiver.correlate import key
from receiver.rows import EventRow, SettledRow, TemplateRow

#: how long a message without an expiry of its own is tried
PATIENCE = timedelta(days=3)


@dataclass(frozen=True, slots=True)
class Settlement:
    """What became of one row of a call, as it was known at *answered_at*; *again_in* seconds until the next
    try, None when there is none."""

    id: UUID
    kind: str
    submission_id: UUID
    attempt: int
    channel: str
    provider: str
    outcome: Outcome
    again_in: float | None = None
    recipient: str | None = None
    #: seconds until a report is overdue, None where none is awaited
    report_within: float | None = None
    answered_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def timely(self) -> "Settlement":
        """The same, with an end instead of another try where the message has been tried long enough."""
        if self.again_in is None or _age(self.id) <= PATIENCE:
            return self
        expired = replace(
            self.outcome, fate=Fate.REFUSED, status=Status.EXPIRED, error=ErrorClass.EXPIRED, retry_after=None
        )
        return replace(self, outcome=expired, again_in=None)

    def bare(self, why: str) -> "Settlement":
        """The same fate without the carrier's words: for an answer of which Postgres takes no word."""
        outcome = replace(
            self.outcome,
            provider_message_ids=(),
            provider_template_id=None,
            provider_code=None,
            sender=None,
            provider_message=f"the carrier's words cannot be stored: {why}",
        )
        return replace(self, outcome=outcome)


def _age(row: UUID) -> timedelta:
    """Returns the time since the message was accepted; its id holds it."""
    return datetime.now(UTC) - datetime.fromtimestamp((row.int >> 80) / 1000, UTC)


def uncertain(why: str) -> Outcome:
    """The outcome of a call whose answer was lost."""
    return Outcome(Fate.UNDECIDED, status=Status.UNCERTAIN, provider_message=why)


def settled(settlement: Settlement) -> SettledRow:
    return SettledRow(
        settlement.id,
        settlement.submission_id,
        _span(settlement.again_in),
        _span(settlement.report_within),
        settlement.outcome.send_at,
        settlement.outcome.expires_at,
    )


def _span(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)


def events(settlement: Settlement) -> Iterator[EventRow]:
    """The event of a settlement: once per id that the carrier gave, so that each id is kept. They are one
    event under one key all the same."""
    outcome = settlement.outcome
    for warning in outcome.warnings:
        yield _warning(settlement, warning)
    if outcome.status is None:
        return
    for provider_message_id in outcome.provider_message_ids or (None,):
        yield EventRow(
            id=uuid7(),
            key=key("submission", str(settlement.submission_id), outcome.status),
            type=f"message.{outcome.status}",
            channel=settlement.channel,
            provider=settlement.provider,
            source="sender",
            received_at=settlement.answered_at,
            status=outcome.status,
            bits=bits(outcome.status),
            attempt=settlement.attempt,
            provider_code=outcome.provider_code,
            provider_message=outcome.provider_message,
            error_class=outcome.error,
            error_specificity=SPECIFICITY[outcome.error] if outcome.error else None,
            occurred_at=outcome.occurred_at,
            our_number=outcome.sender,
            message_id=settlement.id,
            provider_message_id=provider_message_id,
            batch_recipient=(settlement.recipient or "") if outcome.names_batch else "",
        )


def _warning(settlement: Settlement, warning: str) -> EventRow:
    """Returns the event that tells *warning*, once however often the call is tried; it changes no status."""
    return EventRow(
        id=uuid7(),
        key=key("warning", warning),
        type="message.warning",
        channel=settlement.channel,
        provider=settlement.provider,
        source="sender",
        received_at=settlement.answered_at,
        attempt=settlement.attempt,
        provider_message=warning,
        message_id=settlement.id,
    )


def template(settlement: Settlement) -> TemplateRow:
    outcome = settlement.outcome
    refused = outcome.fate is Fate.REFUSED
    return TemplateRow(
        template_id=settlement.id,
        submission_id=settlement.submission_id,
        candidate=uuid7(),
        channel=settlement.channel,
        provider=settlement.provider,
        provider_template_id=outcome.provider_template_id,
        state=TemplateState.FAILED if refused else TemplateState.PENDING,
        error_class=(outcome.error or ErrorClass.UNKNOWN) if refused else None,
        error_code=outcome.provider_code if refused else None,
        error_message=outcome.provider_message if refused else None,
        provider_message_id=next(iter(outcome.provider_message_ids), None),
    )
