"""Bodies of HTML forms, as some carriers take them: multipart or urlencoded."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from urllib.parse import parse_qsl

from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser


class Unreadable(Exception):
    """The body is no form."""


@dataclass(frozen=True, slots=True)
class File:
    content_type: str
    content: bytes


Form = dict[str, str | File]


async def form(content_type: str, body: bytes | None) -> Form:
    """The fields of *body*, the last of each name. Raises ``Unreadable``."""
    kind = content_type.partition(";")[0].strip().lower()
    if body is None or kind not in ("multipart/form-data", "application/x-www-form-urlencoded"):
        raise Unreadable(kind)
    if kind == "application/x-www-form-urlencoded":
        return dict(parse_qsl(body.decode(errors="replace"), keep_blank_values=True))

    async def stream() -> AsyncGenerator[bytes, None]:
        yield body

    try:
        found = await MultiPartParser(Headers({"content-type": content_type}), stream()).parse()
    except (MultiPartException, KeyError) as error:
        raise Unreadable(str(error)) from None
    try:
        return {name: await _value(value) for name, value in found.items()}
    finally:
        await found.close()


async def _value(value: UploadFile | str) -> str | File:
    if isinstance(value, str):
        return value
    return File(value.content_type or "", await value.read())
