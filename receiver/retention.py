"""What is kept how long, and the statements that remove it in batches (docs/retention.md).

A day is a day: rows go when their own time is over, oldest first, and a month's partition is dropped when
all of it is past. All of it may be repeated, interrupted, and done by several at once.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from receiver.config import Retention
from receiver.id_times import first_id
from receiver.partitions import Partition, months

Kind = Literal["payloads", "bodies", "messages", "idempotency", "deliveries"]

#: days that an ``Idempotency-Key`` answers for
IDEMPOTENCY = 7
#: days that deliveries are shown for; those that did not succeed stay until they do, or their subscriber goes
DELIVERIES = 7
#: A send waits three days at most; what it says and that it exists outlive it, whatever the setting.
SHORTEST = timedelta(days=4)


@dataclass(frozen=True, slots=True)
class Cutoffs:
    """From when on each kind is kept; None keeps all of it."""

    payloads: datetime | None
    bodies: datetime | None
    messages: datetime | None
    idempotency: datetime | None
    deliveries: datetime | None

    @classmethod
    def at(cls, now: datetime, retention: Retention) -> "Cutoffs":
        payloads = now - timedelta(days=retention.payloads) if retention.payloads else None
        messages = now - max(timedelta(days=retention.messages), SHORTEST) if retention.messages else None
        bodies = now - max(timedelta(days=retention.bodies), SHORTEST) if retention.bodies else None
        # a text does not outlive its message
        bodies = max((cutoff for cutoff in (bodies, messages) if cutoff), default=None)
        return cls(
            payloads, bodies, messages, now - timedelta(days=IDEMPOTENCY), now - timedelta(days=DELIVERIES)
        )

    def of(self, kind: Kind) -> datetime | None:
        cutoff: datetime | None = getattr(self, kind)
        return cutoff


@dataclass(frozen=True, slots=True)
class Sweep:
    """Rows of *table*. *statement* removes up to ``$2`` of those whose id (or time) is below ``$1`` and
    answers with how many went. A *walk* is given ``$1`` after which and ``$2`` before which id to look at
    ``$3`` rows, and answers with the last one looked at and how many went."""

    table: str
    kind: Kind
    statement: str
    walk: bool = False

    def before(self, cutoff: datetime) -> object:
        return cutoff if self.kind == "idempotency" else first_id(cutoff)


def _oldest(table: str, kind: Kind, column: str) -> Sweep:
    # The batch as an array: a join would be planned while the tables are small, and read them from end to
    # end when they are not.
    return Sweep(
        table,
        kind,
        f"WITH gone AS (DELETE FROM postback.{table} WHERE {column} = ANY (ARRAY("  # noqa: S608
        f"SELECT {column} FROM postback.{table} WHERE {column} < $1 ORDER BY {column} LIMIT $2"
        f")) AND {column} < $1 RETURNING 1) SELECT count(*) FROM gone",
    )


#: in this order; what names a message goes after it
SWEEPS = (
    _oldest("payload", "payloads", "id"),
    _oldest("message_body", "bodies", "message_id"),
    _oldest("media", "bodies", "message_id"),
    Sweep("file", "bodies", "SELECT last, gone FROM postback.forget_files($1, $2, $3)", walk=True),
    Sweep("message", "messages", "SELECT postback.forget_messages($1, $2)"),
    _oldest("submission", "messages", "id"),
    _oldest("reference", "messages", "message_id"),
    _oldest("attention", "messages", "message_id"),
    _oldest("awaited_report", "messages", "message_id"),
    _oldest("adopted", "messages", "message_id"),
    _oldest("outbox", "messages", "id"),
    Sweep(
        "conversation",
        "messages",
        "SELECT last, gone FROM postback.forget_conversations($1, $2, $3)",
        walk=True,
    ),
    _oldest("idempotency", "idempotency", "created_at"),
    Sweep(
        "delivery",
        "deliveries",
        # those without a subscriber that is there will never succeed
        "WITH gone AS (DELETE FROM postback.delivery WHERE id = ANY (ARRAY("
        "SELECT d.id FROM postback.delivery d WHERE d.id < $1 AND (d.state = 'delivered' OR NOT EXISTS ("
        "SELECT FROM postback.subscriber s WHERE s.id = d.subscriber_id)) ORDER BY d.id LIMIT $2"
        ")) RETURNING 1) SELECT count(*) FROM gone",
    ),
)

#: the partitions of these leave together: an event without its message would be read by nobody
TOGETHER: dict[tuple[str, ...], Kind] = {
    ("payload",): "payloads",
    ("message_body", "media"): "bodies",
    ("event", "message"): "messages",
    ("submission",): "messages",
}


def past(partitions: list[Partition], cutoffs: Cutoffs, now: datetime) -> Iterator[list[Partition]]:
    """The partitions to drop, those together that leave together. What `partitions.make` would make again
    stays, even where it is empty."""
    current = min(months(now))
    for tables, kind in TOGETHER.items():
        cutoff = cutoffs.of(kind)
        if cutoff is None:
            continue
        leaving = [p for p in partitions if p.table in tables and p.end <= cutoff and p.begin < current]
        for begin in sorted({partition.begin for partition in leaving}):
            yield [partition for partition in leaving if partition.begin == begin]
