"""Messages stored with their carriers."""

from typing import Any
from uuid import UUID

from pydantic import ConfigDict, Field

from models.events import TemplateState
from receiver.moments import Moment
from receiver.read import examples
from receiver.read.shapes.base import NextCursor, Shape
from receiver.read.shapes.messages import Error


class Template(Shape):
    """A message stored with its carrier."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.TEMPLATE]})

    id: UUID
    channel: str
    name: str | None = Field(description="Null where only the carrier has spoken of it.")
    subject: str | None
    text: str | None
    media: list[dict[str, Any]]
    slides: list[dict[str, Any]] | None = Field(
        default=None,
        exclude_if=lambda slides: slides is None,
        description="Present where it was said what stands together; `media` are places in that list.",
    )
    fallback_text: str | None
    state: TemplateState
    error: Error | None
    created_at: Moment
    updated_at: Moment


class TemplateList(Shape):
    data: list[Template]
    next_cursor: str | None = NextCursor
