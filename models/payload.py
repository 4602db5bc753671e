"""A carrier's request as it came, kept byte for byte, beside what we understood of it."""

from typing import Any

from sqlalchemy import Index, false, text
from sqlmodel import Field, SQLModel

from models.base import UUID, datetime, json, table_args, timestamp, uuid_array


class Payload(SQLModel, table=True):
    """``state`` is ``applied``, ``duplicate``, ``quarantined`` or ``unverified``; *reason* says why.

    One row per request, identical bodies included. Credentials are taken out of ``headers`` and ``query``
    before they get here. *retold*: something in it had been said before by another request, whose event
    stands in the timeline; should a replay take that event away, this one still says so.
    """

    __tablename__ = "payload"
    __table_args__ = table_args(
        Index(
            "payload_attention",
            "state",
            "id",
            postgresql_where=text("state IN ('quarantined', 'unverified')"),
        ),
        Index("payload_channel", "channel", "id"),
        Index("payload_retold", "message_ids", postgresql_using="gin", postgresql_where=text("retold")),
        postgresql_partition_by="RANGE (id)",
    )

    id: UUID = Field(primary_key=True)
    channel: str
    state: str
    reason: str | None
    method: str
    query: str
    headers: dict[str, Any] = json()
    body: bytes
    peer: str | None
    received_at: datetime = timestamp()
    message_ids: list[UUID] = uuid_array()
    retold: bool = Field(default=False, sa_column_kwargs={"server_default": false()})
