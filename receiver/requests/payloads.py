"""Carriers' requests that are to be read again."""

from typing import Literal
from uuid import UUID

from pydantic import ConfigDict, Field

from receiver.moments import GivenMoment
from receiver.requests.base import MAX_LOOKUP, Cursor, Name, Request, Whole


class ReplayRequest(Request):
    """Which kept payloads to read again, oldest first. Without filters: all of them."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"state": "quarantined", "dry_run": True}]})

    state: Literal["applied", "duplicate", "quarantined", "unverified"] | None = None
    channel: Name | None = None
    since: GivenMoment | None = Field(default=None, description="Received at this moment or later.")
    until: GivenMoment | None = Field(default=None, description="Received before this moment.")
    ids: list[UUID] | None = Field(default=None, max_length=MAX_LOOKUP)
    dry_run: bool = Field(default=False, description="Say what would change, and change nothing.")
    limit: Whole = Field(default=100, ge=1, le=200, description="Payloads that this call goes through.")
    cursor: Cursor | None = Field(
        default=None,
        description="Go on after the payload where the last call ended; its `next_cursor`.",
    )
