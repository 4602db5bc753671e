"""/healthz and /readyz, for whoever keeps the process running and sends it traffic."""

from starlette.requests import Request
from starlette.responses import Response

from receiver.api.context import Context
from receiver.api.operation import Page, json
from receiver.problems import unavailable
from receiver.read import shapes


async def healthz(request: Request) -> Response:
    return json(shapes.Health(status="ok"))


async def readyz(request: Request) -> Response:
    context: Context = request.app.state.context
    if not await context.ready():
        raise unavailable("A webhook cannot be stored now, neither in Postgres nor in the spool.")
    return json(shapes.Health(status="ready"))


PAGES = (
    Page("/healthz", healthz, "Whether the process lives", "application/json", shapes.Health),
    Page(
        "/readyz",
        readyz,
        "Whether a webhook can be stored now",
        "application/json",
        shapes.Health,
        problems=(503,),
    ),
)
