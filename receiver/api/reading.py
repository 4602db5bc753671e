"""Requests into values: query parameters, JSON bodies and headers, or a ``Problem`` that names the field."""

import asyncio
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar
from urllib.parse import parse_qsl
from uuid import UUID

import orjson
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError
from starlette.requests import ClientDisconnect, Request

from receiver.bounds import shortened
from receiver.in_hand import IN_HAND, Body, Crowded
from receiver.problems import Code, FieldError, Problem, invalid, summary, unavailable

Model = TypeVar("Model", bound=BaseModel)
Place = TypeVar("Place")

MAX_BODY = 1 << 20
#: seconds for a whole body
BODY_DEADLINE = 10.0
#: levels of arrays and objects in a body; what is stored deeper could not be written out again
MAX_DEPTH = 32
#: values in a body: a message to everybody who may be written to at once, with room for ten times as many
MAX_VALUES = 10_000
#: brackets in a body, those in texts as well: every array and object that is made costs more than its bytes
MAX_BRACKETS = 5 * MAX_VALUES
#: parameters of a query
MAX_PARAMETERS = 100
MAX_ERRORS = 20
#: characters of a name or of a sentence in the description of an error
LONGEST_STEP, LONGEST_DETAIL = 100, 500

#: an Idempotency-Key as it is usually sent, or the structured-field string that the draft asks for
KEY_PATTERN = r'^([!#-~]([ -~]{0,253}[!-~])?|"([ !#-\[\]-~]|\\["\\]){1,255}")$'
#: for what pydantic would say in the words of Python
_WORDS = {
    "extra_forbidden": "there is no such field",
    "missing": "is required",
    "uuid_type": "must be a UUID",
    "uuid_parsing": "must be a UUID",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "int_parsing": "must be a whole number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "string_type": "must be a text",
    "list_type": "must be a list",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
}
_CODES = {
    "content_too_large": Code.CONTENT_TOO_LARGE,
    "extra_forbidden": Code.UNKNOWN_FIELD,
    "invalid_cursor": Code.INVALID_CURSOR,
}


def query(request: Request, model: type[Model]) -> Model:
    """The query parameters as *model*, each given once. Raises ``Problem`` (422)."""
    given: dict[str, str] = {}
    for name, value in _pairs(request):
        if name in given:
            raise invalid(_pointer([name]), "is given twice")
        given[name] = value
    parsed = _validated(model, given)
    for name, value in given.items():
        if not _is_text(value):
            raise invalid(_pointer([name]), "is not percent-encoded UTF-8")
    return parsed


def _pairs(request: Request) -> list[tuple[str, str]]:
    """What is no UTF-8 stays recognisable, and no text; replaced, as usual, it would be another filter."""
    written = request.scope["query_string"].decode("latin-1")
    try:
        pairs = parse_qsl(
            written, keep_blank_values=True, errors="surrogateescape", max_num_fields=MAX_PARAMETERS
        )
    except ValueError:
        raise invalid("", f"The query has more than {MAX_PARAMETERS} parameters.") from None
    if not all(_is_text(name) for name, _ in pairs):
        raise invalid(
            "", "The query has a parameter whose name is not percent-encoded UTF-8.", Code.UNKNOWN_FIELD
        )
    return pairs


def _is_text(given: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in given)


async def body(request: Request, model: type[Model], *, optional: bool = False) -> tuple[Model, bytes]:
    """Returns the JSON body as *model*, and a hash that is the same for the same JSON in any layout. An
    *optional* body that is empty is ``{}``.

    Raises ``Problem``: 408, 413, 415, 422.
    """
    if optional and not _announced(request):
        return model(), b""
    given = await raw(request)
    if optional and not given:
        return model(), b""
    content = _object(request, given, model)
    parsed = _validated(model, content)
    return parsed, hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).digest()


def _announced(request: Request) -> bool:
    """Whether a body follows the headers (RFC 9112, 6.3)."""
    return "transfer-encoding" in request.headers or request.headers.get("content-length", "0") != "0"


def _object(request: Request, given: bytes, model: type[BaseModel]) -> dict[str, Any]:
    media_type = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if not model.model_fields and media_type != "application/json":
        raise invalid("", "This operation takes no body.")
    if media_type != "application/json":
        raise Problem(
            Code.INVALID_FIELD, "The body must be JSON; send Content-Type: application/json.", status=415
        )
    if given.count(b"[") + given.count(b"{") > MAX_BRACKETS:
        raise invalid("", f"The body is too much: it may hold {MAX_VALUES} values.")
    try:
        content = orjson.loads(given)
    except orjson.JSONDecodeError as error:
        raise invalid("", f"The body is not JSON: {error}.") from None
    if not isinstance(content, dict):
        raise invalid("", "The body must be a JSON object.")
    return content


def path_id(request: Request) -> UUID:
    """The ``{id}`` of the path; the router has let through nothing else."""
    named: UUID = request.path_params["id"]
    return named


def idempotency_key(request: Request) -> str | None:
    """The ``Idempotency-Key``, bare or as the quoted string of
    draft-ietf-httpapi-idempotency-key-header. Raises ``Problem`` (422)."""
    given = request.headers.get("idempotency-key")
    if given is None:
        return None
    if not re.fullmatch(KEY_PATTERN, given):
        raise Problem(Code.INVALID_FIELD, "Idempotency-Key must be 1 to 255 printable ASCII characters.")
    return re.sub(r"\\(.)", r"\1", given[1:-1]) if given.startswith('"') else given


def cursor(given: str, place: Callable[[str], Place], pointer: str) -> Place:
    """Returns the *place* that a cursor in a body or a header stands for; *pointer* is where it was given.
    Raises ``Problem`` (422)."""
    try:
        return place(given)
    except PydanticCustomError as error:
        raise invalid(pointer, error.message(), Code.INVALID_CURSOR) from None


async def raw(request: Request, most: int = MAX_BODY, within: float | None = None) -> bytes:
    """The body as it came: at most *most* bytes in *within* seconds. Raises ``Problem``: 408, 413,
    503 where too many bodies are on their way."""
    deadline = BODY_DEADLINE if within is None else within
    held: Body | None = request.scope.get(IN_HAND)
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(deadline):
            async for chunk in request.stream():
                size += len(chunk)
                if size > most:
                    detail = f"The body is larger than {most} bytes."
                    raise Problem(Code.CONTENT_TOO_LARGE, detail, status=413)
                if held is not None:
                    held.came(len(chunk), whole=False)
                chunks.append(chunk)
    except Crowded:
        raise unavailable("Too many bodies are on their way; ask again.") from None
    except TimeoutError:
        detail = f"The body took longer than {deadline:.0f} s."
        raise Problem(Code.UNAVAILABLE, detail, status=408, headers={"Connection": "close"}) from None
    except ClientDisconnect:
        raise Problem(Code.UNAVAILABLE, "The body ended early.", status=408) from None
    return b"".join(chunks)


def _validated(model: type[Model], given: Mapping[str, Any]) -> Model:
    flaw = next(_flaws(given), None)
    if flaw is not None:
        raise invalid(_pointer(flaw[0]), flaw[1])
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise _problem(error) from None


def _flaws(given: Any) -> Iterator[tuple[list[str | int], str]]:
    """What no field may hold: NUL, which Postgres has no way to store, endless nesting and too much."""
    waiting: list[tuple[list[str | int], Any]] = [([], given)]
    room = MAX_VALUES
    while waiting:
        where, value = waiting.pop()
        if isinstance(value, str):
            if "\0" in value:
                yield where, "holds a NUL character"
        elif isinstance(value, dict | list):
            if len(where) >= MAX_DEPTH:
                yield where, f"is nested deeper than {MAX_DEPTH} levels"
            room -= len(value)
            if room < 0:
                yield where, f"The body is too much: it may hold {MAX_VALUES} values."
            items = value.items() if isinstance(value, dict) else enumerate(value)
            for key, item in items:
                if isinstance(key, str) and "\0" in key:
                    yield where, "There is a name that holds a NUL character."
                waiting.append(([*where, key], item))


def _problem(error: ValidationError) -> Problem:
    found = error.errors(include_url=False, include_context=True)
    errors = [FieldError(pointer=_pointer(one["loc"]), detail=_detail(one)) for one in found[:MAX_ERRORS]]
    code = _CODES.get(found[0]["type"], Code.INVALID_FIELD)
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return Problem(code, summary(errors[0]) + more, errors=errors)


def _detail(error: ErrorDetails) -> str:
    told = _WORDS.get(error["type"], error["msg"]).removeprefix("Value error, ")
    return shortened(told.replace("Input should be", "must be", 1), LONGEST_DETAIL)


def _pointer(steps: Any) -> str:
    """A JSON pointer (RFC 6901)."""
    named = (shortened(str(step), LONGEST_STEP) for step in steps)
    return "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in named)
