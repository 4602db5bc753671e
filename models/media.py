"""The files of a message: where each one lies, and whether we hold it."""

from sqlalchemy import Index, text
from sqlmodel import Field, SQLModel

from models.base import UUID, datetime, table_args, timestamp


class Media(SQLModel, table=True):
    """``state`` is ``pending``, ``stored``, ``failed`` or, of a part that is in the message's text now,
    ``text``. ``url`` is where the file lies: the carrier's address of an inbound part, or the address from
    which the carrier fetches an outbound one. Of a file that we hold, ``id`` is that of its `File`, and
    ``url`` is ours.

    A pending file is fetched at ``next_at``, in turns with those of other channels: *channel* is that of its
    message, None where the version before stored it. While somebody does, that is when another one may.
    ``reason`` is why the last of the ``attempts`` was in vain.
    """

    __tablename__ = "media"
    __table_args__ = table_args(
        Index("media_id", "id"),
        # of the version before, which runs beside this one
        Index("media_due", "next_at", postgresql_where=text("state = 'pending'")),
        Index("media_due_by_channel", "channel", "next_at", postgresql_where=text("state = 'pending'")),
        postgresql_partition_by="RANGE (message_id)",
    )

    message_id: UUID = Field(primary_key=True)
    position: int = Field(primary_key=True)
    id: UUID
    url: str
    content_type: str | None
    size: int | None
    state: str
    attempts: int = Field(sa_column_kwargs={"server_default": "0"})
    next_at: datetime | None = timestamp(nullable=True)
    reason: str | None
    text: str | None
    channel: str | None


class File(SQLModel, table=True):
    """A file that we hold: uploaded under an API key of that name, or sent by a person, through a carrier.

    Its bytes lie under their ``sha256`` in the store, once for all rows that name them.
    """

    __tablename__ = "file"
    __table_args__ = table_args(Index("file_sha256", "sha256"))

    id: UUID = Field(primary_key=True)
    sha256: bytes
    size: int
    content_type: str
    name: str
    created_at: datetime = timestamp()
    api_key: str | None
