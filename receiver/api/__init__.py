"""The routes of /v1 and what describes them. `receiver.app` makes the `app` and sets ``state.context``."""

from functools import cache
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from receiver.api import (
    conversations,
    events,
    health,
    media,
    messages,
    metrics,
    opt_outs,
    payloads,
    subscribers,
    templates,
)
from receiver.api.context import Context
from receiver.api.exceptions import exception_handlers
from receiver.api.openapi import document
from receiver.api.operation import Page, pages_of, routes_of
from receiver.api.reference import html
from receiver.api.request_id import RequestId

__all__ = ["Context", "app", "description", "routes"]


async def openapi_json(request: Request) -> Response:
    return Response(_openapi_json(), media_type="application/json")


async def docs(request: Request) -> Response:
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    return HTMLResponse(_docs(), headers={"Content-Security-Policy": policy})


OPERATIONS = (
    *messages.OPERATIONS,
    *conversations.OPERATIONS,
    *events.OPERATIONS,
    *subscribers.OPERATIONS,
    *media.OPERATIONS,
    *templates.OPERATIONS,
    *opt_outs.OPERATIONS,
    *payloads.OPERATIONS,
)
PAGES = (
    *health.PAGES,
    *media.PAGES,
    *metrics.PAGES,
    Page("/openapi.json", openapi_json, "This document", "application/json"),
    Page("/docs", docs, "The same for people", "text/html"),
)
#: what may be served at an address of its own
APART = frozenset({"/metrics", "/openapi.json", "/docs"})


def routes() -> list[Route]:
    return [*pages_of(PAGES), *routes_of(OPERATIONS)]


def app(lifespan: Any = None) -> Starlette:
    """All of it; ``state.context`` is still to be set."""
    made = Starlette(
        routes=routes(),
        middleware=[Middleware(RequestId)],
        exception_handlers=exception_handlers(),
        lifespan=lifespan,
    )
    # an address has one spelling: a redirect would lose the body of a POST, or the key, with many a client
    made.router.redirect_slashes = False
    _openapi_json(), _docs()  # a tenth of a second that nobody who calls is to wait for
    return made


# written once: anybody may ask for them, without a key
@cache
def _openapi_json() -> bytes:
    return orjson.dumps(description())


@cache
def _docs() -> bytes:
    return html(description()).encode()


@cache
def description() -> dict[str, Any]:
    """The OpenAPI document."""
    return document(OPERATIONS, PAGES)
