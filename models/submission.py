"""Calls to carriers: what waits to be sent, what was sent under which reference, and how fast we may."""

from sqlalchemy import Index, text
from sqlmodel import Field, SQLModel

from models.base import UUID, datetime, table_args, text_array, timestamp, uuid_array


class Submission(SQLModel, table=True):
    """One call to a carrier, for one message (``recipient`` empty) or one row per recipient of a batch.

    It is committed before the request leaves, so a report that carries its ``reference`` finds its message
    whatever became of the call's answer. That is what travels as ours on the wire: the id or, where the
    channel says so, the app's own; NULL where the call has no field for one.
    """

    __tablename__ = "submission"
    __table_args__ = table_args(
        Index("submission_message", "message_id"), postgresql_partition_by="RANGE (id)"
    )

    id: UUID = Field(primary_key=True)
    recipient: str = Field(primary_key=True)
    message_id: UUID
    channel: str
    contact: str | None
    attempt: int
    reference: str | None


class Outbox(SQLModel, table=True):
    """What still has to go to a carrier: ``queued`` -> ``claimed`` (a lease) -> ``calling`` (it left).

    An expired claim is queued again; an expired call is ``uncertain``, and its row stays for an answer that
    comes late and shows that nothing was sent. ``kind`` is ``message`` or
    ``template``; ``id`` is the message's or the template's. Rows of one ``batch`` say the same to
    different people, and may share a call.
    An opt-out of ``contact`` from a number in ``scope`` stops it; where that is NULL, from any number.
    """

    __tablename__ = "outbox"
    __table_args__ = table_args(
        Index("outbox_queued", "channel", "next_at", postgresql_where=text("state = 'queued'")),
        Index("outbox_leased", "lease_until", postgresql_where=text("state <> 'queued'")),
        Index("outbox_contact", "contact"),
    )

    id: UUID = Field(primary_key=True)
    kind: str
    channel: str
    batch: UUID
    state: str
    next_at: datetime = timestamp()
    lease_until: datetime | None = timestamp(nullable=True)
    attempts: int
    submission_id: UUID | None
    contact: str | None
    scope: list[str] | None = text_array(nullable=True)


class AwaitedReport(SQLModel, table=True):
    """A message that its carrier took, until ``due``: then a report has come, or the carrier is asked, or
    the message ends ``unconfirmed``. Reports do not touch this table."""

    __tablename__ = "awaited_report"
    __table_args__ = table_args(Index("awaited_report_due", "due"))

    message_id: UUID = Field(primary_key=True)
    due: datetime = timestamp()


class Rate(SQLModel, table=True):
    """The time, on the database's clock, of an account's next call or of another next turn."""

    __tablename__ = "rate"
    __table_args__ = table_args()

    channel: str = Field(primary_key=True)
    due: datetime = timestamp()


class Idempotency(SQLModel, table=True):
    """The answer to an ``Idempotency-Key``: which messages it made, and from which body."""

    __tablename__ = "idempotency"
    __table_args__ = table_args(Index("idempotency_created", "created_at"))

    scope: str = Field(primary_key=True)
    key: str = Field(primary_key=True)
    request_hash: bytes
    message_ids: list[UUID] = uuid_array()
    created_at: datetime = timestamp()
