"""The limit: Starlette reads the body and answers. Nothing is checked, understood or stored."""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from benchmarks.traffic import PATH


async def echo(request: Request) -> Response:
    await request.body()
    return JSONResponse({"status": "ok"})


def create(database_url: str) -> Starlette:
    return Starlette(routes=[Route(PATH, echo, methods=["POST"])])
