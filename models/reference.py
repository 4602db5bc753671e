"""Which message a carrier means by an id of its own."""

from sqlalchemy import Index
from sqlmodel import Field, SQLModel

from models.base import UUID, table_args

#: begins the ids that we give where a carrier gives none; they find messages and are never shown
INTERNAL = "postback:"
#: a report that names nothing but somebody else's reference is kept under that
FOREIGN_REFERENCE = f"{INTERNAL}client-reference:"
#: one that names nothing at all is known again when it is resent
NAMELESS_REPORT = f"{INTERNAL}report:"
#: an inbound message without an id is known by its numbers, its content and the carrier's time
TIMED_INBOUND = f"{INTERNAL}inbound:"
#: and where the carrier tells no time either, for a minute: after that an equal text is a second text
UNTIMED_INBOUND = f"{INTERNAL}untimed-inbound:"


class Reference(SQLModel, table=True):
    """The id comes first in the key, because people look up by the id alone.

    ``recipient`` is empty where an id names one message and the normalised number where it names a batch;
    it is never NULL, or two rows for one id would never meet. ``inbound`` keeps a carrier's inbound ids
    apart from those of our sends.
    """

    __tablename__ = "reference"
    __table_args__ = table_args(Index("reference_message", "message_id"))

    provider_message_id: str = Field(primary_key=True)
    channel: str = Field(primary_key=True)
    recipient: str = Field(primary_key=True)
    inbound: bool = Field(primary_key=True)
    message_id: UUID
