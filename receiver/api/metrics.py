"""/metrics, for Prometheus: the numbers of every process on this data directory."""

from starlette.requests import Request
from starlette.responses import Response

from receiver.api.context import Context
from receiver.api.operation import Page


async def metrics(request: Request) -> Response:
    context: Context = request.app.state.context
    content, media_type = await context.scrape(request.headers.get("accept", ""))
    return Response(content, headers={"Content-Type": media_type})


PAGES = (Page("/metrics", metrics, "Numbers for Prometheus", "text/plain"),)
