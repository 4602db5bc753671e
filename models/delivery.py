"""What became of an event on its way to a subscriber."""

from typing import Any

from sqlalchemy import BigInteger, Index, text
from sqlmodel import Field, SQLModel

from models.base import UUID, datetime, json, table_args, timestamp


class Delivery(SQLModel, table=True):
    """Written by the forwarder once it has tried. ``state`` is ``waiting`` (its conversation waits with it),
    ``parked`` (its conversation has gone on), ``delivered`` or ``dead``.

    ``seq`` is the event's number, ``replay`` which replay sent it, 0 for none, and ``lane`` what has to stay
    in order with it. ``body`` is kept from the first try to the last. ``attempts`` holds
    ``{at, status, ms, answer, error}`` of each try.
    """

    __tablename__ = "delivery"
    __table_args__ = table_args(
        Index("delivery_subscriber", "subscriber_id", "id"),
        Index("delivery_event", "subscriber_id", "replay", "seq", unique=True),
        Index(
            "delivery_open",
            "subscriber_id",
            "state",
            "next_at",
            postgresql_where=text("state <> 'delivered'"),
        ),
    )

    id: UUID = Field(primary_key=True)
    subscriber_id: UUID
    event_id: UUID
    message_id: UUID | None
    seq: int = Field(sa_type=BigInteger)
    replay: int
    lane: str
    state: str
    late: bool
    tries: int
    attempts: list[dict[str, Any]] = json()
    body: bytes | None
    next_at: datetime | None = timestamp(nullable=True)
