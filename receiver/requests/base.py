"""What every request has in common."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, StrictInt, StringConstraints, WithJsonSchema

#: ids, or names, in one request
MAX_LOOKUP = 100

Name = Annotated[str, StringConstraints(min_length=1, max_length=255)]
#: read where the list is known that gave it out: all that is none of its cursors is refused alike
Cursor = Annotated[str, WithJsonSchema({"type": "string", "pattern": "^[A-Za-z0-9_-]+$"})]


def _whole(value: Any) -> Any:
    """Returns a number without a fraction as an integer: 2.0 is one in JSON Schema."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Whole = Annotated[StrictInt, BeforeValidator(_whole)]


class Request(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, validate_by_name=True, validate_by_alias=True)
