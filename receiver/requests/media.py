"""The files of a message that is to be sent, and what is shown of them at once."""

from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints, model_validator

from receiver.requests.base import Request

#: files of one message, and slides
MAX_FILES = 100

MediaUrl = Annotated[
    str,
    StringConstraints(
        max_length=2048,
        # credentials, a name or an IPv4 address, a port, the rest: no URL library trips over one of these
        pattern=r"^https?://([A-Za-z0-9._~!$&'()*+,;=:%-]*@)?[A-Za-z0-9._~-]+(:[0-9]{1,5})?([/?#]\S*)?$",
    ),
]

ContentType = Annotated[
    str,
    StringConstraints(
        max_length=127, to_lower=True, pattern=r"^[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+$"
    ),
]


class MediaSource(Request):
    """A file: where it lies, or the id of one that was uploaded. One of the two."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                {"required": ["url"], "properties": {"url": {"type": "string"}, "id": {"type": "null"}}},
                {
                    "required": ["id"],
                    "properties": {
                        "id": {"type": "string"},
                        "url": {"type": "null"},
                        "content_type": {"type": "null"},
                    },
                },
            ]
        }
    )

    url: MediaUrl | None = None
    id: UUID | None = None
    content_type: ContentType | None = Field(
        default=None, description="Of a file by its address, where that does not end in what tells its type."
    )

    @model_validator(mode="after")
    def _is_one_of_two(self) -> "MediaSource":
        if (self.url is None) == (self.id is None):
            raise ValueError("must have url or id, one of them")
        if self.id is not None and self.content_type is not None:
            raise ValueError("must have no content_type beside id: of an upload it is known")
        return self


class MediaWithText(MediaSource):
    """A file, and the text that stands beside it where an MMS is made of slides: then each file of the
    message has a slide of its own."""

    text: str | None = Field(default=None, min_length=1, description="Of carriers that have slides.")


class Slide(Request):
    """A part of an MMS that is shown at once: files, a text, or both."""

    media: list[MediaSource] = Field(default=[], max_length=MAX_FILES)
    text: str | None = Field(default=None, min_length=1)


def _of_at_most_files(slides: list[Slide]) -> list[Slide]:
    files = sum(len(slide.media) for slide in slides)
    if files > MAX_FILES:
        raise ValueError(f"has {files} files in all; the most is {MAX_FILES}")
    return slides


Media = Annotated[list[MediaWithText], Field(max_length=MAX_FILES)]
Slides = Annotated[
    list[Slide],
    Field(
        max_length=MAX_FILES, description="What stands together, said exactly, instead of `text` and `media`."
    ),
    AfterValidator(_of_at_most_files),
]
