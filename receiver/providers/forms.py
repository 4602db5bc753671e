"""A carrier's request as an object, whichever way it was written: JSON, a form, a multipart form, a query."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from models.events import Request, Unreadable
from receiver import multipart
from receiver.providers import reading, shape

_BOUNDARY = re.compile(r'boundary="?([^";,\s]{1,70})', re.IGNORECASE)
_FIRST_LINE = re.compile(rb"\s*--([^\r\n\s]{1,70})\r?\n")
_PARAMETER = re.compile(r';\s*(name|filename)="?([^";\r\n]*)', re.IGNORECASE)
_CONTENT_TYPE = re.compile(r"^content-type:[ \t]*([^\r\n]*)", re.IGNORECASE | re.MULTILINE)
#: `to[]` and `to[0]` are how PHP and its heirs write the items of a list
_ITEM = re.compile(r"\[[0-9]*\]$")


@dataclass(frozen=True, slots=True)
class File:
    """A file that came inside a multipart form."""

    name: str
    content_type: str | None
    content: bytes


def document(request: Request) -> Any:
    """What *request* says, as `reading.document` would of JSON; a field that comes twice is a list.

    The first bytes decide, because content types are often wrong. Raises ``Unreadable``.
    """
    body = request.body
    if not body.strip():
        if not request.query:
            raise Unreadable("the body is empty")
        return _fields(_pairs(request.query))
    boundary = _boundary(request)
    if boundary:
        return _fields(_parts(body, boundary))
    if _start(body) in ("{", "[", "<") or b"=" not in body:
        return reading.document(body)
    return _fields(_pairs(body))


def _start(body: bytes) -> str:
    """The first letter, in whichever UTF: of JSON in UTF-16 the first byte may be a zero."""
    begins = body[:64].decode(json.detect_encoding(body), "replace")
    return begins.removeprefix("\ufeff").lstrip()[:1]


def _boundary(request: Request) -> bytes | None:
    content_type = request.headers.get("content-type", "")
    named = _BOUNDARY.search(content_type) if "multipart/" in content_type.lower() else None
    if named:
        return named[1].encode("latin-1", "replace")
    first = _FIRST_LINE.match(request.body)
    return first[1] if first else None


def _pairs(form: bytes) -> list[tuple[str, str]]:
    written = form.decode("utf-8", "replace").strip()
    try:
        return parse_qsl(written, keep_blank_values=True, errors="replace", max_num_fields=shape.MOST_FIELDS)
    except ValueError:
        raise Unreadable(f"the form has more than {shape.MOST_FIELDS} fields; it is kept unread") from None


def _parts(body: bytes, boundary: bytes) -> Iterator[tuple[str, Any]]:
    """The fields of a multipart form (RFC 7578), with bare line feeds too. Raises ``Unreadable``."""
    for number, part in enumerate(multipart.parts(body, boundary)):
        if number == shape.MOST_PARTS:
            raise Unreadable(f"the form has more than {shape.MOST_PARTS} parts; it is kept unread")
        headers, content = part.head.decode("utf-8", "replace"), part.content
        named = {key.lower(): value for key, value in _PARAMETER.findall(headers)}
        declared = _CONTENT_TYPE.search(headers)
        if "filename" in named:
            kind = declared[1].strip() if declared else None
            yield named.get("name", ""), File(named["filename"], kind or None, content)
        elif "name" in named:
            yield named["name"], content.decode("utf-8", "replace")


def _fields(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, list[Any]] = {}
    for key, value in pairs:
        found.setdefault(_ITEM.sub("", key), []).append(value)
    return {key: values[0] if len(values) == 1 else values for key, values in found.items()}
