"""One event on its way to one subscriber."""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import orjson

from models import Delivery
from receiver import moments
from receiver.forward.letters import Letter
from receiver.rows import new_id

WAITING, PARKED, DELIVERED, DEAD = "waiting", "parked", "delivered", "dead"


class DeliveryRow(NamedTuple):
    """As ``receiver/sql/forward.sql`` declares it."""

    id: UUID
    subscriber_id: UUID
    event_id: UUID
    message_id: UUID | None
    seq: int
    replay: int
    lane: str
    state: str
    late: bool
    tries: int
    attempts: str
    body: bytes | None
    next_at: datetime | None


@dataclass(slots=True, eq=False)
class Parcel:
    """*recorded*: it has a row, or will have one with the next place that is written down, so the place may
    pass it. *due* is on the event loop's clock, *next_at* the same for everybody. *body* is None where it
    is to be made anew; *leaving* is the scope of a post under way, *broken* tells when one that was broken
    off has ended."""

    id: UUID
    event_id: UUID
    message_id: UUID | None
    seq: int
    replay: int
    lane: str
    body: bytes | None
    received_at: datetime | None = None
    state: str = WAITING
    late: bool = False
    tries: int = 0
    attempts: list[dict[str, Any]] = field(default_factory=list)
    next_at: datetime | None = None
    due: float = 0.0
    recorded: bool = False
    flying: bool = False
    leaving: asyncio.Timeout | None = None
    broken: asyncio.Event | None = None

    @classmethod
    def of(cls, letter: Letter, replay: int) -> "Parcel":
        return cls(
            new_id(), letter.event_id, letter.message_id, letter.seq, replay, letter.lane, letter.body,
            received_at=letter.received_at,
        )  # fmt: skip

    @classmethod
    def kept(cls, row: Delivery) -> "Parcel":
        return cls(
            row.id, row.event_id, row.message_id, row.seq, row.replay, row.lane, row.body,
            state=row.state, late=row.late, tries=row.tries, attempts=list(row.attempts), next_at=row.next_at,
            recorded=True,
        )  # fmt: skip

    @property
    def in_order(self) -> tuple[str, bool]:
        """What it waits its turn in: a replay holds up nothing of the live feed."""
        return self.lane, bool(self.replay)

    @property
    def number(self) -> tuple[int, int]:
        return self.replay, self.seq

    def attempted(
        self, at: datetime, ms: int, *, status: int | None, answer: bytes | None, error: str | None
    ) -> None:
        # Postgres's JSON has no NUL
        text = None if answer is None else answer.decode("utf-8", "replace").replace("\0", "\ufffd")
        self.tries += 1
        self.attempts.append(
            {"at": moments.text(at), "status": status, "ms": ms, "answer": text, "error": error}
        )

    def forget(self) -> None:
        """Drops what was read of the event, and what was answered: it may repeat that. A post under way is
        broken off."""
        self.body = None
        for one in self.attempts:
            one["answer"] = None
        if self.leaving is not None and self.broken is None:
            self.broken = asyncio.Event()
            self.leaving.reschedule(asyncio.get_running_loop().time())

    def ended(self) -> None:
        """No post is under way any more."""
        if self.broken is not None:
            self.broken.set()
        self.leaving = self.broken = None

    def row(self, subscriber_id: UUID) -> DeliveryRow:
        done = self.state == DELIVERED
        return DeliveryRow(
            self.id, subscriber_id, self.event_id, self.message_id, self.seq, self.replay, self.lane,
            self.state, self.late, self.tries, orjson.dumps(self.attempts).decode(),
            None if done else self.body, self.next_at,
        )  # fmt: skip
