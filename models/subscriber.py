"""Who is told of events, and how far each of them has come."""

from sqlalchemy import BigInteger, DateTime, Index, LargeBinary
from sqlmodel import Field, SQLModel

from models.base import UUID, array, datetime, table_args, text_array, timestamp


class Subscriber(SQLModel, table=True):
    """An app's address and its place in the feed. ``types`` and ``channels`` narrow what it is told, NULL is
    everything; ``visible`` are the channels of the key that made it.

    Everything up to ``cursor`` is delivered or has a `Delivery`. A replay, the ``replay``-th, has come to
    ``replay_after`` and ends at ``replay_through``. The secrets are encrypted; the previous one signs as well
    until ``previous_until``, and each of ``earlier_secrets``, which were replaced before that one, until the
    moment in its place of ``earlier_until``. ``failing_since`` is the first failure since the last success.
    ``holder`` is the `Forwarder` that serves it.
    """

    __tablename__ = "subscriber"
    __table_args__ = table_args(Index("subscriber_holder", "holder"))

    id: UUID = Field(primary_key=True)
    url: str
    types: list[str] | None = text_array(nullable=True)
    channels: list[str] | None = text_array(nullable=True)
    visible: list[str] | None = text_array(nullable=True)
    state: str
    disabled_reason: str | None
    secret: bytes
    previous_secret: bytes | None
    previous_until: datetime | None = timestamp(nullable=True)
    earlier_secrets: list[bytes] = array(LargeBinary, empty=True)
    earlier_until: list[datetime] = array(DateTime(timezone=True), empty=True)
    cursor: int = Field(sa_type=BigInteger)
    replay: int
    replay_after: int | None = Field(sa_type=BigInteger)
    replay_through: int | None = Field(sa_type=BigInteger)
    failing_since: datetime | None = timestamp(nullable=True)
    holder: UUID | None
    created_at: datetime = timestamp()


class Forwarder(SQLModel, table=True):
    """A living process that forwards: what it holds is anybody's once ``lease_until`` has passed."""

    __tablename__ = "forwarder"
    __table_args__ = table_args()

    id: UUID = Field(primary_key=True)
    lease_until: datetime = timestamp()
