"""An event: one entry in a message's timeline, and one number in the feed."""

from sqlalchemy import BigInteger, Index
from sqlmodel import Field, SQLModel

from models.base import UUID, datetime, table_args, timestamp


class Event(SQLModel, table=True):
    """Append-only. ``key`` is what makes two reports the same report, so the primary key refuses
    duplicates for ever; ``seq`` is in commit order over all messages, and dense but for `FeedGap`."""

    __tablename__ = "event"
    __table_args__ = table_args(Index("event_seq", "seq"), postgresql_partition_by="RANGE (message_id)")

    message_id: UUID = Field(primary_key=True)
    key: UUID = Field(primary_key=True)
    id: UUID
    seq: int = Field(sa_type=BigInteger)
    version: int
    type: str
    channel: str
    status: str | None
    bits: int
    effective: bool
    source: str
    part: int
    attempt: int
    provider_status: str | None
    provider_code: str | None
    provider_message: str | None
    error_class: str | None
    occurred_at: datetime | None = timestamp(nullable=True)
    received_at: datetime = timestamp()
    payload_id: UUID | None
    replay: int
    superseded: bool


class FeedHead(SQLModel, table=True):
    """One row: the last number of the feed. Its lock is the last that a transaction takes.

    ``lineage`` names the history of the database in which it was taken (``receiver/sql/feed.sql``)."""

    __tablename__ = "feed_head"
    __table_args__ = table_args()

    only: bool = Field(primary_key=True)
    seq: int = Field(sa_type=BigInteger)
    lineage: str | None


class FeedGap(SQLModel, table=True):
    """Numbers that no event has, from behind ``after`` up to ``until``.

    The database's history went on from an earlier moment, as after a fail-over, and the numbers that the lost
    part had given out are not given again. ``lineage`` is the history before.
    """

    __tablename__ = "feed_gap"
    __table_args__ = table_args()

    until: int = Field(sa_type=BigInteger, primary_key=True)
    after: int = Field(sa_type=BigInteger)
    lineage: str
    at: datetime = timestamp()
