"""/v1/media takes files, /media gives them: to carriers, to apps, to whoever holds the address."""

import asyncio
from uuid import UUID

import structlog
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from receiver import media
from receiver.api import reading
from receiver.api.context import Context
from receiver.api.operation import Ask, Nothing, Operation, Page, json
from receiver.auth import Scope
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


async def upload(ask: Ask[Query, Nothing]) -> Response:
    content, claimed, name = await _uploaded(ask.request)
    if len(content) > media.LARGEST:
        raise Problem(Code.CONTENT_TOO_LARGE, f"The file is larger than {media.LARGEST} bytes.", status=413)
    try:
        file = await ask.context.files.add(content, claimed=claimed, name=name, api_key=ask.principal.name)
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
    if not store.links.authentic(file_id, request.path_params["signature"], name):
        raise not_found()
    file = (await context.files.find([file_id])).get(file_id)
    if file is None:
        raise not_found()
    path = store.path(file.sha256)
    try:
        stat = await asyncio.to_thread(path.stat)
    except FileNotFoundError:
        log.error("a file is not on this machine", id=str(file_id))
        raise not_found() from None
    etag = f'"{file.sha256.hex()}"'
    headers = {
        "Content-Type": file.content_type + ("; charset=utf-8" if file.content_type == "text/plain" else ""),
        "ETag": etag,
        "Cache-Control": "private, max-age=86400, immutable",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox",
    }
    if etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    shown = file.content_type.startswith(_SHOWN)
    # with a Content-Length, never in chunks: Sinch refuses a file without one
    return FileResponse(
        path,
        headers=headers,
        filename=file.name,
        stat_result=stat,
        content_disposition_type="inline" if shown else "attachment",
    )


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
    ),
)
PAGES = (
    Page(
        media.PREFIX + "{id}/{signature}/{name}",
        serve,
        "A file, at the address that an answer or a message gave",
        "*/*",
        problems=(404,),
    ),
)
