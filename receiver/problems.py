"""What went wrong, as RFC 9457 ``application/problem+json``; the codes are a fixed list.

``{type, title, status, detail, code, errors[{pointer, detail}]}``: *code* is for programs, *detail* and
*errors* are for people, a *pointer* is the JSON pointer (RFC 6901) of a body's field or ``/name`` of a query
parameter.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any
from uuid import UUID

import orjson
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

MEDIA_TYPE = "application/problem+json"
#: seconds; what is unavailable is asked for again by programs, and most outages here are restarts
RETRY_AFTER = "5"


class Code(StrEnum):
    INVALID_NUMBER = "invalid_number"
    INVALID_FIELD = "invalid_field"
    UNKNOWN_FIELD = "unknown_field"
    UNKNOWN_CHANNEL = "unknown_channel"
    AMBIGUOUS_CHANNEL = "ambiguous_channel"
    CHANNEL_CANNOT = "channel_cannot"
    CONTENT_TOO_LARGE = "content_too_large"
    CONTENT_REJECTED = "content_rejected"
    MEDIA_ERROR = "media_error"
    IDEMPOTENCY_CONFLICT = "idempotency_conflict"
    IDEMPOTENCY_RUNNING = "idempotency_running"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    NOT_CANCELABLE = "not_cancelable"
    NOT_UNCERTAIN = "not_uncertain"
    TOO_MANY_REQUESTS = "too_many_requests"
    INVALID_CURSOR = "invalid_cursor"
    UNAVAILABLE = "unavailable"
    OUTCOME_UNKNOWN = "outcome_unknown"


#: code -> (usual HTTP status, title)
KINDS = {
    Code.INVALID_NUMBER: (422, "Not a phone number"),
    Code.INVALID_FIELD: (422, "A field is not as it should be"),
    Code.UNKNOWN_FIELD: (422, "A field that does not exist"),
    Code.UNKNOWN_CHANNEL: (422, "No such channel"),
    Code.AMBIGUOUS_CHANNEL: (422, "Several channels could send this"),
    Code.CHANNEL_CANNOT: (422, "The channel cannot do this"),
    Code.CONTENT_TOO_LARGE: (422, "The content is too large"),
    Code.CONTENT_REJECTED: (422, "The carrier does not take this content"),
    Code.MEDIA_ERROR: (422, "A media file cannot be used"),
    Code.IDEMPOTENCY_CONFLICT: (422, "The Idempotency-Key belongs to another request"),
    Code.IDEMPOTENCY_RUNNING: (409, "The first request with this Idempotency-Key is still running"),
    Code.UNAUTHORIZED: (401, "No valid API key"),
    Code.FORBIDDEN: (403, "The API key lacks a scope"),
    Code.NOT_FOUND: (404, "Not found"),
    Code.NOT_CANCELABLE: (409, "Too late to cancel"),
    Code.NOT_UNCERTAIN: (409, "Nothing to settle"),
    Code.TOO_MANY_REQUESTS: (429, "Too many requests"),
    Code.INVALID_CURSOR: (422, "Not a cursor of this list"),
    Code.UNAVAILABLE: (503, "Unavailable for now"),
    Code.OUTCOME_UNKNOWN: (503, "Nobody knows yet whether it was done"),
}


class FieldError(BaseModel):
    """One field and what is wrong with it."""

    model_config = ConfigDict(frozen=True)

    pointer: str
    detail: str


class ProblemDocument(BaseModel):
    """The body of every answer that is not a success."""

    model_config = ConfigDict(title="Problem")

    type: str = Field(description="Where the code is explained.")
    title: str
    status: int
    detail: str
    code: Code
    errors: list[FieldError]
    message_ids: list[UUID] = Field(
        default=[],
        description="With `outcome_unknown`: what a send without Idempotency-Key may have made.",
    )


class Problem(Exception):
    """Raised anywhere below a route; becomes the answer. *status* is the code's usual one unless given."""

    def __init__(
        self,
        code: Code | str,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        status: int | None = None,
        headers: Mapping[str, str] | None = None,
        message_ids: Sequence[UUID] = (),
    ) -> None:
        super().__init__(detail)
        self.code = Code(code)
        usual_status, self.title = KINDS[self.code]
        self.status = status or usual_status
        self.detail = detail
        self.errors = tuple(errors)
        self.headers = dict(headers or {})
        self.message_ids = tuple(message_ids)

    def response(self) -> Response:
        body: dict[str, Any] = {
            "type": f"/docs#{self.code}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            "errors": [error.model_dump() for error in self.errors],
        }
        if self.message_ids:
            body["message_ids"] = self.message_ids
        return Response(orjson.dumps(body), self.status, self.headers, MEDIA_TYPE)


def invalid(pointer: str, detail: str, code: Code | str = Code.INVALID_FIELD) -> Problem:
    """Returns the refusal of one field. With the empty *pointer* it refuses the body or the query as a whole,
    and *detail* has to be a sentence."""
    error = FieldError(pointer=pointer, detail=detail)
    return Problem(code, summary(error), errors=[error])


def summary(error: FieldError) -> str:
    """Returns what is wrong, and with which field."""
    return f"{error.pointer}: {error.detail}" if error.pointer else error.detail


def not_found() -> Problem:
    return Problem(Code.NOT_FOUND, "There is nothing here that this API key may see.")


def unavailable(detail: str) -> Problem:
    """Returns the answer where nothing was done, and nothing will be."""
    return Problem(Code.UNAVAILABLE, detail, headers={"Retry-After": RETRY_AFTER})


def outcome_unknown(detail: str, *, message_ids: Sequence[UUID] = ()) -> Problem:
    """Returns the answer where something may have been done, or may still be; *detail* tells how to go on."""
    return Problem(
        Code.OUTCOME_UNKNOWN, detail, headers={"Retry-After": RETRY_AFTER}, message_ids=message_ids
    )
