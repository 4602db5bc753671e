"""A subscriber as its line knows it, and as the line writes it down."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from models import Subscriber
from receiver.read.feed import Wanted
from receiver.secrets import Secrets
from receiver.subscribers import PURPOSE


@dataclass(frozen=True, slots=True)
class Subscription:
    """A subscriber as it stands in the database, its secrets in clear: never log one."""

    id: UUID
    url: str
    wanted: Wanted
    secret: bytes
    previous_secret: bytes | None
    previous_until: datetime | None
    cursor: int
    replay: int
    replay_after: int | None
    replay_through: int | None
    failing_since: datetime | None

    @classmethod
    def of(cls, row: Subscriber, secrets: Secrets) -> "Subscription":
        """Raises ``Undecryptable``."""
        visible = None if row.visible is None else frozenset(row.visible)
        previous = row.previous_secret
        return cls(
            row.id, row.url, Wanted(row.types, row.channels, visible), secrets.decrypt(PURPOSE, row.secret),
            secrets.decrypt(PURPOSE, previous) if previous else None, row.previous_until, row.cursor,
            row.replay, row.replay_after, row.replay_through, row.failing_since,
        )  # fmt: skip

    def keys(self, now: datetime) -> Sequence[bytes]:
        """Those that sign."""
        rotating = self.previous_secret and self.previous_until and now < self.previous_until
        return (self.secret, self.previous_secret) if rotating and self.previous_secret else (self.secret,)


class PlaceRow(NamedTuple):
    """As ``receiver/sql/forward.sql`` declares it."""

    subscriber_id: UUID
    cursor: int
    failing_since: datetime | None
    disabled_reason: str | None
    replay: int
    replay_after: int | None
    recovered: bool
