"""How far somebody has read in a conversation."""

from uuid import UUID

from pydantic import ConfigDict, Field

from receiver.requests.base import Request


class ReadRequest(Request):
    """The last message that was read; without one the whole conversation was."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"up_to": "01a1fe26-b549-726e-bb8e-17d6b7214f1b"}]}
    )

    up_to: UUID | None = Field(
        default=None, description="A message of the conversation; what came after it stays unread."
    )
