"""Opt-outs, and the ledger of every change."""

from typing import Literal
from uuid import UUID

from pydantic import Field

from receiver.moments import Moment
from receiver.read.shapes.base import NextCursor, Shape


class OptOut(Shape):
    """A contact who is not to be written to from one of our numbers, or from any (`*`)."""

    our_number: str
    contact: str = Field(description="Masked once the number was erased.")
    since: Moment
    source: Literal["keyword", "phrase", "carrier", "api", "operator"]
    certainty: Literal["certain", "likely"]
    word: str | None
    message_id: UUID | None


class OptOutList(Shape):
    data: list[OptOut]
    next_cursor: str | None = NextCursor


class LedgerEntry(Shape):
    """One opt-out or opt-in. It is never changed, and kept for ever."""

    id: UUID
    our_number: str
    opts_out: bool
    at: Moment
    source: Literal["keyword", "phrase", "carrier", "api", "operator"]
    certainty: Literal["certain", "likely"]
    word: str | None
    message_id: UUID | None
    said_by: str | None = Field(description="The API key's name, where no message said it.")


class OptOutWithLedger(Shape):
    """Whether a contact is opted out, and what was ever said about it. `our_number` is that of the entry that
    forbids the sends; it may be another one that counts as the same, or `*`."""

    our_number: str
    contact: str
    opted_out: bool
    since: Moment | None = None
    source: Literal["keyword", "phrase", "carrier", "api", "operator"] | None = None
    certainty: Literal["certain", "likely"] | None = None
    word: str | None = None
    message_id: UUID | None = None
    ledger: list[LedgerEntry] = Field(description="In the order in which it was said.")
