"""The files of messages, and uploads."""

from typing import Literal
from uuid import UUID

from pydantic import Field

from receiver.read.shapes.base import Shape


class Media(Shape):
    id: UUID
    url: str = Field(
        description="Ours once the file is stored: made anew by every answer, open for `media_url_days`."
    )
    content_type: str | None
    size: int | None = Field(description="Bytes.")
    state: Literal["pending", "stored", "failed"]
    reason: str | None = Field(
        default=None,
        exclude_if=lambda reason: reason is None,
        description="Present where the last try to fetch it was in vain: why.",
    )


class File(Shape):
    """An upload; its `id` goes into a send's `media`."""

    id: UUID
    url: str = Field(
        description="Needs no key: whoever has the address may fetch the file, for `media_url_days`."
    )
    content_type: str = Field(description="What the bytes are, whatever the upload claimed.")
    size: int = Field(description="Bytes.")
