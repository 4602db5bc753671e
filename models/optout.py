"""Who asked not to be written to: the list that is looked at before every send, and how it came about."""

from sqlalchemy import Index, text
from sqlmodel import Field, SQLModel

from models.base import UUID, datetime, table_args, text_array, timestamp

#: stands for all of our numbers
EVERY_NUMBER = "*"


class OptOut(SQLModel, table=True):
    """One row per pair that is opted out now; it follows from `OptOutEntry` and from nothing else.

    ``our_number`` may be `EVERY_NUMBER`. Once a number was erased, ``contact`` is masked and
    ``contact_hash`` is a keyed hash of what stood there; until then it is empty.
    """

    __tablename__ = "opt_out"
    __table_args__ = table_args(
        Index("opt_out_id", "id", unique=True),
        Index("opt_out_our_number", "our_number", "id"),
        Index("opt_out_erased", "contact_hash", postgresql_where=text("contact_hash <> ''::bytea")),
    )

    contact: str = Field(primary_key=True)
    our_number: str = Field(primary_key=True)
    contact_hash: bytes = Field(primary_key=True)
    id: UUID
    since: datetime = timestamp()
    source: str
    certainty: str
    word: str | None
    message_id: UUID | None


class OptOutEntry(SQLModel, table=True):
    """The ledger: every opt-out and opt-in for ever, never changed but for an erased number.

    The id is that of the event which told of it, where it changed anything. ``at`` is when it was said, not
    when it was applied. ``covers`` are the numbers of ours that count as one with ``our_number``, NULL where
    all do: an opt-in is for all of them. ``said_by`` is the API key's name where no message said it.
    """

    __tablename__ = "opt_out_entry"
    __table_args__ = table_args(
        Index("opt_out_entry_contact", "contact"),
        Index("opt_out_entry_erased", "contact_hash", postgresql_where=text("contact_hash <> ''::bytea")),
    )

    id: UUID = Field(primary_key=True)
    contact: str
    contact_hash: bytes
    our_number: str
    opts_out: bool
    at: datetime = timestamp()
    source: str
    certainty: str
    word: str | None
    message_id: UUID | None
    said_by: str | None
    covers: list[str] | None = text_array(nullable=True)
