"""What every request has in common."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

#: ids, or names, in one request
MAX_LOOKUP = 100

Name = Annotated[str, StringConstraints(min_length=1, max_length=255)]


class Request(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, validate_by_name=True, validate_by_alias=True)
