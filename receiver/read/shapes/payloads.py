"""Carriers' requests as they came, and what reading them again comes to."""

from typing import Any, Literal
from uuid import UUID

from pydantic import ConfigDict, Field

from models.status import Status
from receiver.moments import Moment
from receiver.read import examples
from receiver.read.shapes.base import NextCursor, Shape


class Payload(Shape):
    """A carrier's request, byte for byte, without its credentials."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.PAYLOAD]})

    id: UUID
    channel: str
    state: Literal["applied", "duplicate", "quarantined", "unverified"]
    reason: str | None
    method: str
    query: str
    headers: dict[str, Any]
    body_base64: str
    size: int = Field(description="Bytes of the body.")
    peer: str | None
    received_at: Moment
    message_ids: list[UUID]


class PayloadList(Shape):
    """A page also ends where its bodies reach 4 MiB."""

    data: list[Payload]
    next_cursor: str | None = NextCursor


class ReplayedPayload(Shape):
    """A payload after its replay. One that was understood once and is not now is left as it was."""

    id: UUID
    state_before: Literal["applied", "duplicate", "quarantined", "unverified"]
    state: Literal["applied", "duplicate", "quarantined", "unverified"]
    reason: str | None


class ReplayedMessage(Shape):
    id: UUID
    channel: str
    status_before: Status | None = Field(description="Null where the message begins with this replay.")
    status: Status
    events_written: int


class ReplayAnswer(Shape):
    """What a replay came to, or in a dry run would come to. Messages where nothing changes are left out."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.REPLAY]})

    dry_run: bool
    states: dict[str, int] = Field(description="How many of the payloads are in which state now.")
    events_written: int
    events_superseded: int
    payloads: list[ReplayedPayload]
    messages: list[ReplayedMessage]
    next_cursor: str | None = NextCursor
