"""/v1/media takes files, /media gives them: to carriers, to apps, to whoever holds the address."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import structlog
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from receiver import media
from receiver.api import reading
from receiver.api.context import Context
from receiver.api.operation import Ask, Nothing, Operation, Page, json
from receiver.api.ranges import Unsatisfiable, asked_for
from receiver.auth import Scope, scope_of
from receiver.problems import Code, Problem, not_found, unavailable
from receiver.read import shapes
from receiver.read.filters import Query

log = structlog.get_logger()

#: what a multipart form may add to its file, in bytes
ENVELOPE = 64 * 1024
#: seconds for a whole file
UPLOAD_DEADLINE = 60.0
#: what browsers show without running anything; all else is only ever saved
_SHOWN = ("image/", "audio/", "video/")
#: bytes that are read at a time; of an object store, each is a request
_PIECE = 1 << 20
#: seconds that whoever fetched a file may keep it, where its address opens for longer
_CACHED = 86400


async def upload(ask: Ask[Query, Nothing]) -> Response:
    content, claimed, name = await _uploaded(ask.request)
    if len(content) > media.LARGEST:
        raise Problem(Code.CONTENT_TOO_LARGE, f"The file is larger than {media.LARGEST} bytes.", status=413)
    try:
        scope = scope_of(ask.principal.name, ask.channels)
        file = await ask.context.files.add(content, claimed=claimed, name=name, api_key=scope)
    except media.Unusable as error:
        raise Problem(Code.MEDIA_ERROR, str(error)) from None
    except media.Unwritable as error:
        log.error("an upload cannot be written", reason=str(error))
        raise unavailable("The file cannot be written to the disk now.") from None
    url = ask.context.files.store.links.to(file.id, file.name, ask.base)
    answer = shapes.File(id=file.id, url=url, content_type=file.content_type, size=file.size)
    return json(answer, 201, {"Location": url})


async def serve(request: Request) -> Response:
    context: Context = request.app.state.context
    file_id: UUID = request.path_params["id"]
    name: str = request.path_params["name"]
    store = context.files.store
    seal = store.links.seal(file_id, request.path_params["signature"], name)
    if seal is None:
        raise not_found()
    if seal.left <= 0:
        raise _expired()
    file = (await context.files.find([file_id])).get(file_id)
    if file is None:
        raise not_found()
    if seal.until is None and not await context.files.opens_without_end(file):
        raise _expired()
    if not await asyncio.to_thread(_is_there, store, file.sha256):
        log.error("a file is not in our store", id=str(file_id))
        raise not_found()
    etag = f'"{file.sha256.hex()}"'
    shown = file.content_type.startswith(_SHOWN)
    headers = {
        "Content-Type": file.content_type + ("; charset=utf-8" if file.content_type == "text/plain" else ""),
        "Content-Disposition": f'{"inline" if shown else "attachment"}; filename="{file.name}"',
        "Accept-Ranges": "bytes",
        "ETag": etag,
        "Cache-Control": f"private, max-age={int(min(_CACHED, seal.left))}, immutable",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox",
    }
    if etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    asked = request.headers.get("range") if request.headers.get("if-range", etag) == etag else None
    try:
        part = asked_for(asked, file.size)
    except Unsatisfiable:
        return Response(status_code=416, headers=headers | {"Content-Range": f"bytes */{file.size}"})
    start, end = part or (0, file.size)
    # with a Content-Length, never in chunks: Sinch refuses a file without one
    headers["Content-Length"] = str(end - start)
    if part:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{file.size}"
    status = 206 if part else 200
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers)
    return StreamingResponse(_pieces(store, file.sha256, start, end), status, headers)


def _expired() -> Problem:
    return Problem(Code.NOT_FOUND, "This address has expired; every answer of the API has it made anew.")


async def _pieces(store: media.Store, digest: bytes, start: int, end: int) -> AsyncIterator[bytes]:
    for place in range(start, end, _PIECE):
        yield await asyncio.to_thread(store.read, digest, place, min(place + _PIECE, end))


def _is_there(store: media.Store, digest: bytes) -> bool:
    """Raises ``Problem`` where the store does not answer."""
    try:
        store.size(digest)
    except FileNotFoundError:
        return False
    except OSError as error:
        log.error("the store of files does not answer", reason=str(error.strerror or error))
        raise unavailable("The file cannot be read now.") from None
    return True


async def _uploaded(request: Request) -> tuple[bytes, str | None, str | None]:
    """The bytes, what they are said to be, and the file's name. Raises ``Problem``: 408, 413, 422."""
    claimed = request.headers.get("content-type")
    form = (claimed or "").lower().startswith("multipart/form-data")
    raw = await reading.raw(request, media.LARGEST + (ENVELOPE if form else 0), UPLOAD_DEADLINE)
    if not form:
        return raw, claimed, None
    try:
        return media.file_in(raw, claimed or "")
    except media.Malformed as error:
        raise Problem(Code.MEDIA_ERROR, str(error)) from None


_BYTES = {"type": "string", "format": "binary"}
OPERATIONS = (
    Operation(
        "POST",
        "/v1/media",
        upload,
        "Upload a file to send",
        Scope.SEND,
        Query,
        Nothing,
        shapes.File,
        status=201,
        uploads={
            "multipart/form-data": {"type": "object", "properties": {"file": _BYTES}, "required": ["file"]},
            "application/octet-stream": _BYTES,
        },
        undecided="Upload it again: a file that no message names goes by itself.",
    ),
)
PAGES = (
    Page(
        media.PREFIX + "{id}/{signature}/{name}",
        serve,
        "A file, at the address that an answer or a message gave",
        "*/*",
        problems=(404, 503),
        asks_postgres=True,
    ),
)
