"""Messages that are looked up, and one that a person settles."""

from typing import Literal

from pydantic import ConfigDict, Field, model_validator

from receiver.requests.base import MAX_LOOKUP, Name, Request


class LookupRequest(Request):
    """Messages by any of their names, at most 100 names in all."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"client_references": ["order-42"], "provider_message_ids": []}]}
    )

    ids: list[Name] = Field(default=[], max_length=MAX_LOOKUP)
    provider_message_ids: list[Name] = Field(default=[], max_length=MAX_LOOKUP)
    client_references: list[Name] = Field(default=[], max_length=MAX_LOOKUP)

    @model_validator(mode="after")
    def _is_not_too_many(self) -> "LookupRequest":
        asked = len(self.ids) + len(self.provider_message_ids) + len(self.client_references)
        if asked > MAX_LOOKUP:
            raise ValueError(f"asks for {asked} in all; the most is {MAX_LOOKUP}")
        return self


class SettleRequest(Request):
    """What a person found out about a message whose call had no answer."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"status": "failed"}]})

    status: Literal["failed", "sent"]
