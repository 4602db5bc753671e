"""What every answer is: frozen, with all its keys, and a way on where it is a page."""

from pydantic import BaseModel, ConfigDict, Field

NextCursor = Field(pattern="^[A-Za-z0-9_-]+$", description="Give it back as `cursor`; null at the end.")


class Shape(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        json_schema_serialization_defaults_required=True,
    )


class CanReply(Shape):
    """Whether a reply sent now would be taken, whatever it says."""

    ok: bool
    reason: str | None = Field(description="Why not, as a reply would be told; null if it would.")
