"""A conversation: everything between one of our numbers and one contact."""

from sqlalchemy import UniqueConstraint
from sqlmodel import Field, SQLModel

from models.base import UUID, table_args


class Conversation(SQLModel, table=True):
    __tablename__ = "conversation"
    __table_args__ = table_args(UniqueConstraint("our_number", "contact", name="conversation_numbers"))

    id: UUID = Field(primary_key=True)
    our_number: str
    contact: str
