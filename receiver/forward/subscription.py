"""A subscriber as its line knows it, and as the line writes it down."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from models import Subscriber
from receiver.read.feed import Wanted
from receiver.secrets import Secrets
from receiver.subscribers import PURPOSE, earlier_secrets


@dataclass(frozen=True, slots=True)
class Subscription:
    """A subscriber as it stands in the database, its secrets in clear: never log one."""

    id: UUID
    url: str
    wanted: Wanted
    secret: bytes
    earlier_secrets: Sequence[tuple[bytes, datetime]]
    cursor: int
    replay: int
    replay_after: int | None
    replay_through: int | None
    failing_since: datetime | None

    @classmethod
    def of(cls, row: Subscriber, secrets: Secrets, now: datetime) -> "Subscription":
        """Raises ``Undecryptable``. An earlier secret whose time is over is not even read: it may be older
        than the oldest key."""
        visible = None if row.visible is None else frozenset(row.visible)
        earlier = [
            (secrets.decrypt(PURPOSE, secret), until) for secret, until in earlier_secrets(row) if now < until
        ]
        return cls(
            row.id, row.url, Wanted(row.types, row.channels, visible), secrets.decrypt(PURPOSE, row.secret),
            earlier, row.cursor,
            row.replay, row.replay_after, row.replay_through, row.failing_since,
        )  # fmt: skip

    def keys(self, now: datetime) -> Sequence[bytes]:
        """Returns those that sign at *now*, the newest first."""
        return [self.secret, *(secret for secret, until in reversed(self.earlier_secrets) if now < until)]


class PlaceRow(NamedTuple):
    """As ``receiver/sql/forward.sql`` declares it."""

    subscriber_id: UUID
    cursor: int
    failing_since: datetime | None
    disabled_reason: str | None
    replay: int
    replay_after: int | None
    recovered: bool
