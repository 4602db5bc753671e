"""Events: the timeline of a message, and the feed of all of them."""

from functools import cached_property
from typing import Literal
from uuid import UUID

from pydantic import ConfigDict, Field

from models.status import Status
from receiver.moments import Moment
from receiver.read import examples
from receiver.read.shapes.base import NextCursor, Shape


class Event(Shape):
    """One entry of a message's timeline."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.EVENT]})

    id: UUID
    cursor: str
    sequence: int = Field(description="The event's number in the feed.")
    version: int = Field(description="The event's number within its message.")
    type: str
    message_id: UUID | None = Field(description="Null where no message said it.")
    conversation_id: UUID | None
    channel: str | None = Field(description="Null for what belongs to no channel.")
    status: Status | None = Field(description="Null for a carrier's word that nobody has mapped.")
    effective: bool = Field(description="Whether the event changed the status when it came.")
    source: Literal["report", "api", "sender", "timer", "operator"]
    provider_status: str | None
    provider_code: str | None
    provider_message: str | None
    client_reference: str | None
    occurred_at: Moment | None = Field(description="The carrier's claim.")
    received_at: Moment
    payload_id: UUID | None
    superseded: bool = Field(
        default=False,
        exclude_if=lambda superseded: not superseded,
        description="Present, and true, on an event that a replay replaced.",
    )
    replay: int = Field(
        default=0,
        exclude_if=lambda replay: not replay,
        description="Present on an event that a replay or a recompute wrote: its message's first, second ...",
    )

    our_number: str | None = Field(
        default=None,
        exclude_if=lambda number: number is None,
        description="Present on contact events: which of our numbers it is about, `*` for all.",
    )
    contact: str | None = Field(
        default=None,
        exclude_if=lambda number: number is None,
        description="Present on contact events: who it is about.",
    )

    @cached_property
    def line(self) -> str:
        """The event as JSON on one line, made once for all who listen."""
        return self.model_dump_json()


class EventList(Shape):
    data: list[Event]
    next_cursor: str | None = NextCursor


class Feed(Shape):
    """A part of the feed, oldest first."""

    data: list[Event]
    next_cursor: str = Field(
        pattern="^[A-Za-z0-9_-]+$",
        description="Give it back as `after`. Never null: it moves on past what the filters leave out.",
    )
    reset: bool = Field(
        default=False,
        exclude_if=lambda reset: not reset,
        description="Present, and true, where events after the given cursor are no longer kept, or where a "
        "fail-over has lost the events that it was given out with.",
    )
