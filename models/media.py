"""The files of a message: where each one lies, and whether we hold it."""

from sqlalchemy import Index
from sqlmodel import Field, SQLModel

from models.base import UUID, table_args


class Media(SQLModel, table=True):
    """``state`` is ``pending``, ``stored`` or ``failed``. ``url`` is where the file lies: the carrier's
    address of an inbound part, or the address from which the carrier fetches an outbound one."""

    __tablename__ = "media"
    __table_args__ = table_args(Index("media_id", "id"), postgresql_partition_by="RANGE (message_id)")

    message_id: UUID = Field(primary_key=True)
    position: int = Field(primary_key=True)
    id: UUID
    url: str
    content_type: str | None
    size: int | None
    state: str
