"""The ladder of statuses, as bits: what a message has seen is a set, its status a function of that set.

A set has no order and no duplicates, so neither can the status: any permutation, any repetition and any
split into batches of the same reports gives the same message. The bits stand in the order of the ranks, so
the status is the highest bit, "status X" is a range of integers, and one comparison tells whether a report
moves a message. The four lowest bits are facts beside the ladder: what the message was delivered as, and
how its reports found it.
"""

from enum import StrEnum


class Status(StrEnum):
    """One rung each, lowest first. The order of definition is the order of rank."""

    SCHEDULED = "scheduled"
    ACCEPTED = "accepted"
    UNCERTAIN = "uncertain"
    QUEUED = "queued"
    SENT = "sent"
    UNCONFIRMED = "unconfirmed"
    DELIVERED_TO_CARRIER = "delivered_to_carrier"
    EXPIRED = "expired"
    CANCELED = "canceled"
    FAILED = "failed"
    REJECTED = "rejected"
    UNDELIVERED = "undelivered"
    DELIVERED = "delivered"
    READ = "read"
    RECEIVED = "received"


class Outcome(StrEnum):
    """What a client that wants four words instead of fifteen reads."""

    PENDING = "pending"
    SUCCESS = "success"
    FAILURE = "failure"
    UNKNOWN = "unknown"


class Correlation(StrEnum):
    """How reports found the message. The last one here wins: what began with a guess stays one, unless our
    own id came back."""

    PROVIDER_ID = "provider_id"
    GUESSED = "guessed"
    OWN_ID = "own_id"


AS_MMS, AS_SMS = 1 << 0, 1 << 1
CORRELATION_BIT = {way: 1 << (2 + rank) for rank, way in enumerate(Correlation)}
STATUS_BIT = {status: 1 << (8 + rank) for rank, status in enumerate(Status)}

SUCCESS_BITS = STATUS_BIT[Status.DELIVERED] | STATUS_BIT[Status.READ]
CONFLICT_BITS = (
    STATUS_BIT[Status.CANCELED] | STATUS_BIT[Status.FAILED] | STATUS_BIT[Status.REJECTED]
    | STATUS_BIT[Status.UNDELIVERED]
)  # fmt: skip
FAILURE_BITS = CONFLICT_BITS | STATUS_BIT[Status.EXPIRED]
FAILURES = frozenset(status for status, bit in STATUS_BIT.items() if bit & FAILURE_BITS)

OUTCOME = {
    Status.SCHEDULED: Outcome.PENDING,
    Status.ACCEPTED: Outcome.PENDING,
    Status.UNCERTAIN: Outcome.UNKNOWN,
    Status.QUEUED: Outcome.PENDING,
    Status.SENT: Outcome.PENDING,
    Status.UNCONFIRMED: Outcome.UNKNOWN,
    Status.DELIVERED_TO_CARRIER: Outcome.SUCCESS,
    Status.EXPIRED: Outcome.FAILURE,
    Status.CANCELED: Outcome.FAILURE,
    Status.FAILED: Outcome.FAILURE,
    Status.REJECTED: Outcome.FAILURE,
    Status.UNDELIVERED: Outcome.FAILURE,
    Status.DELIVERED: Outcome.SUCCESS,
    Status.READ: Outcome.SUCCESS,
    Status.RECEIVED: Outcome.SUCCESS,
}

_LADDER = tuple(Status)


def bits(
    status: Status | None,
    *,
    delivered_as: str | None = None,
    correlation: Correlation | None = None,
) -> int:
    """What one event adds to the set. A word that nobody knows (status None) adds no rung."""
    seen = STATUS_BIT[status] if status else 0
    if status in (Status.DELIVERED, Status.READ, Status.DELIVERED_TO_CARRIER):
        seen |= {"mms": AS_MMS, "sms": AS_SMS}.get(delivered_as or "", 0)
    return seen | (CORRELATION_BIT[correlation] if correlation else 0)


def status_of(seen: int, origin: str) -> Status:
    """The highest rung seen. Of a message that only its carrier knows, and of which no word is
    understood yet, we know one thing: the carrier took it."""
    if seen < STATUS_BIT[Status.SCHEDULED]:
        return Status.ACCEPTED if origin == "api" else Status.QUEUED
    return _LADDER[seen.bit_length() - 9]


def conflict(seen: int) -> bool:
    """A handset's receipt and a refusal, whichever came first: rerouted, fallen back to SMS, or resent."""
    return bool(seen & SUCCESS_BITS and seen & CONFLICT_BITS)


def delivered_as(seen: int) -> str | None:
    """``mms`` when there are both: the fallback SMS came as well, not instead."""
    return "mms" if seen & AS_MMS else "sms" if seen & AS_SMS else None


def correlation_of(seen: int) -> Correlation | None:
    return next((way for way in reversed(Correlation) if seen & CORRELATION_BIT[way]), None)


def seen_range(status: Status) -> tuple[int, int]:
    """The half-open range of ``seen`` in which *status* is the highest rung."""
    return STATUS_BIT[status], STATUS_BIT[status] << 1
