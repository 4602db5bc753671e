"""What was redacted, and who still has to forget it."""

from sqlalchemy import ARRAY, BigInteger, Column, Identity, Uuid
from sqlmodel import Field, SQLModel

from models.base import UUID, datetime, table_args, timestamp


class Redaction(SQLModel, table=True):
    """Names the events, by their ``ids``, of which something was taken out; with NULL it may have been any,
    so nothing that was read before is to be used. Numbers follow the order of the commits. Rows leave an
    hour later, with the next one."""

    __tablename__ = "redaction"
    __table_args__ = table_args()

    number: int | None = Field(
        default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True)
    )
    ids: list[UUID] | None = Field(default=None, sa_column=Column(ARRAY(Uuid), nullable=True))
    redacted_at: datetime = timestamp()


class ContentLease(SQLModel, table=True):
    """Stands for a process that keeps content in memory: it has forgotten what was redacted up to the number
    ``seen``, and uses nothing of what it keeps once ``lease_until`` has passed."""

    __tablename__ = "content_lease"
    __table_args__ = table_args()

    id: UUID = Field(primary_key=True)
    seen: int = Field(sa_type=BigInteger)
    lease_until: datetime = timestamp()
