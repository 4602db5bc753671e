"""Every metric by its name, and what is counted together. docs/metrics.md describes each for those who read.

One process has one set of these; `receiver.metrics.sheet` adds up several processes'.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from models.sends import Fate
from receiver import masking
from receiver.metrics.instruments import OTHER, BoundedCounter, Counter, Gauge, Histogram, Instrument, by_name

#: the channel of a request to an address that names none of ours
NO_CHANNEL = "(none)"

_QUICK = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_SLOW = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_LAG = (0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 21600.0, 86400.0)
_SIZES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0)

ACKNOWLEDGEMENTS = Counter(
    "postback_acknowledgements",
    "Carriers' requests answered, by HTTP status.",
    ("channel", "status"),
    [("200",), ("503",)],
)
ACKNOWLEDGEMENT_SECONDS = Histogram(
    "postback_acknowledgement_seconds",
    "From the end of a carrier's request's headers to our answer.",
    ("channel",),
    _QUICK,
)
AUTHENTICATION_FAILURES = Counter(
    "postback_authentication_failures",
    "Requests at the carriers' door with a wrong token, or with the right one and a wrong proof.",
    ("channel", "reason"),
    [("proof",), ("token",)],
)
UNVERIFIED_NOT_KEPT = Counter(
    "postback_unverified_not_kept",
    "Requests with the right token and a wrong proof that were answered 503: as many as may be are kept.",
    counts=defaultdict(float, {(): 0.0}),
)
UNVERIFIED_REMOVED = Counter(
    "postback_unverified_removed",
    "Kept requests with the right token and a wrong proof that made room: the oldest of the greediest.",
    counts=defaultdict(float, {(): 0.0}),
)
PAYLOADS = Counter(
    "postback_payloads",
    "Carriers' requests stored, by the state they were kept in.",
    ("channel", "state"),
    [("applied",), ("duplicate",), ("quarantined",), ("unverified",)],
)
REPORTS = Counter(
    "postback_reports",
    "Delivery reports stored, by how each found its message.",
    ("channel", "found_by"),
    [(way,) for way in ("own_id", "provider_id", "guessed", "new", "none")],
)
REPORT_LAG_SECONDS = Histogram(
    "postback_report_lag_seconds",
    "From the moment that a delivery report names to its arrival.",
    ("channel",),
    _LAG,
)
REPORTS_FROM_THE_FUTURE = Counter(
    "postback_reports_from_the_future",
    "Delivery reports that name a moment after their arrival; their lag counts as 0.",
    ("channel",),
    [()],
)
INBOUND = Counter("postback_inbound_messages", "Inbound messages stored.", ("channel",), [()])
MEDIA = Counter(
    "postback_inbound_media",
    "Tries to fetch a file of an inbound message, by what came of it.",
    ("channel", "outcome"),
    [(outcome,) for outcome in ("stored", "text", "dropped", "failed", "again")],
)
UNMAPPED = BoundedCounter(
    "postback_unmapped_words",
    "Delivery reports with a status word that we do not know, by that word.",
    ("channel", "word"),
)
BATCH_SIZE = Histogram("postback_batch_size", "What was committed to Postgres together.", ("writer",), _SIZES)
COMMIT_SECONDS = Histogram(
    "postback_commit_seconds", "From the start of a batch to its commit.", ("writer",), _QUICK
)
COMMIT_FAILURES = Counter(
    "postback_commit_failures", "Batches that Postgres did not take, by why.", ("writer", "reason")
)
CALLS = Counter(
    "postback_calls",
    "Sends settled after a call to a carrier, by fate.",
    ("channel", "fate"),
    [(fate,) for fate in Fate],
)
POLLS_REFUSED = Counter("postback_polls_refused", "Polls that a carrier refused.", ("channel",), [()])
CALL_SECONDS = Histogram(
    "postback_call_seconds", "From a call to a carrier to its answer, or to giving up.", ("channel",), _SLOW
)
DELIVERIES = Counter(
    "postback_deliveries", "Tries to post an event to a subscriber, by what the event became.", ("outcome",)
)
DELIVERY_SECONDS = Histogram(
    "postback_delivery_seconds", "From a post to a subscriber to its answer, or to giving up.", (), _SLOW
)
FORWARD_LAG_SECONDS = Histogram(
    "postback_forward_lag_seconds", "From an event to the subscriber's answer that it has it.", (), _LAG
)
SPOOL_REQUESTS = Gauge("postback_spool_requests", "Carriers' requests that wait on disk for Postgres.")
SPOOL_HELD_REQUESTS = Gauge(
    "postback_spool_held_requests",
    "Of these, requests that Postgres did not take alone, while it took others.",
)
SPOOL_AGE_SECONDS = Gauge(
    "postback_spool_age_seconds", "How long the oldest of them has been waiting.", largest=True
)
SPOOL_BYTES = Gauge("postback_spool_bytes", "Room on disk that the spool takes.")
SPOOL_DAMAGED_FILES = Gauge(
    "postback_spool_damaged_files", "Spool files that were found damaged and set aside.", largest=True
)
ANSWERS_WAITING = Gauge(
    "postback_answers_waiting", "Carriers' answers to sends that wait to be written to Postgres."
)
ANSWERS_AGE_SECONDS = Gauge(
    "postback_answers_age_seconds", "How long the oldest of them has been waiting.", largest=True
)
PROCESSES = Gauge("postback_processes", "Living processes on this data directory, by kind.", ("kind",))

INSTRUMENTS: dict[str, Instrument] = by_name(
    (
        ACKNOWLEDGEMENTS,
        ACKNOWLEDGEMENT_SECONDS,
        AUTHENTICATION_FAILURES,
        UNVERIFIED_NOT_KEPT,
        UNVERIFIED_REMOVED,
        PAYLOADS,
        REPORTS,
        REPORT_LAG_SECONDS,
        REPORTS_FROM_THE_FUTURE,
        INBOUND,
        MEDIA,
        UNMAPPED,
        BATCH_SIZE,
        COMMIT_SECONDS,
        COMMIT_FAILURES,
        CALLS,
        POLLS_REFUSED,
        CALL_SECONDS,
        DELIVERIES,
        DELIVERY_SECONDS,
        FORWARD_LAG_SECONDS,
        SPOOL_REQUESTS,
        SPOOL_HELD_REQUESTS,
        SPOOL_AGE_SECONDS,
        SPOOL_BYTES,
        SPOOL_DAMAGED_FILES,
        ANSWERS_WAITING,
        ANSWERS_AGE_SECONDS,
        PROCESSES,
    )
)

#: characters of a word that are masked; those of a label are fewer, so that none ends within a number
_LOOKED_AT = 2 * UNMAPPED.longest
_WORDS = {status: str(status) for status in (200, 202, 204, 401, 404, 413, 503)}
_FAILED_PROOF = {401: "proof", 404: "token"}


class Reported(Protocol):
    """What is measured of an event; `receiver.rows.EventRow` has it."""

    @property
    def type(self) -> str: ...
    @property
    def inbound(self) -> bool: ...
    @property
    def provider_status(self) -> str | None: ...
    @property
    def provider_code(self) -> str | None: ...
    @property
    def occurred_at(self) -> datetime | None: ...
    @property
    def received_at(self) -> datetime: ...


def acknowledged(channel: str, status: int, seconds: float) -> None:
    """A carrier's request was answered."""
    ACKNOWLEDGEMENTS.counts[channel, _WORDS.get(status) or str(status)] += 1
    ACKNOWLEDGEMENT_SECONDS.observe(seconds, channel)
    if status in _FAILED_PROOF:
        AUTHENTICATION_FAILURES.add(channel, _FAILED_PROOF[status])


def stored(channel: str, state: str, events: Sequence[Reported]) -> None:
    """A carrier's request was committed, with what it tells; a duplicate tells nothing."""
    PAYLOADS.counts[channel, state] += 1
    if state != "applied":
        return
    for event in events:
        if event.inbound:
            INBOUND.counts[channel,] += 1
            continue
        if event.occurred_at is not None:
            lag = (event.received_at - event.occurred_at).total_seconds()
            if lag < 0:
                REPORTS_FROM_THE_FUTURE.add(channel)
                lag = 0.0
            REPORT_LAG_SECONDS.observe(lag, channel)
        if event.type == "message.unmapped":
            said = event.provider_status or event.provider_code or OTHER
            UNMAPPED.add(channel, masking.text(said[:_LOOKED_AT]))


def committed(writer: str, size: int, seconds: float) -> None:
    """A batch of *writer*'s was committed."""
    BATCH_SIZE.observe(size, writer)
    COMMIT_SECONDS.observe(seconds, writer)


def not_committed(writer: str, reason: str) -> None:
    """*reason*: ``busy`` (a lock, tried again), ``unavailable``, ``poisoned`` (one item of it) or ``full``
    (one item that was sent elsewhere)."""
    COMMIT_FAILURES.add(writer, reason)


def found(channel: str, way: str, reports: int) -> None:
    """*reports* found their messages by *way*."""
    REPORTS.counts[channel, way] += reports
