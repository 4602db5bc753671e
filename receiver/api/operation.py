"""One operation of the API: what it takes, what it answers, who may ask; and its way through HTTP.

The same declaration makes the route and the OpenAPI document.
"""

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import structlog
from pydantic import BaseModel, ConfigDict
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from receiver.api import reading
from receiver.api.context import Context
from receiver.api.exceptions import is_of_database, route
from receiver.auth import Channels, Presented, Principal, Scope
from receiver.callers import base_of
from receiver.problems import outcome_unknown, unavailable
from receiver.pulse import Silent
from receiver.read.filters import Query
from receiver.reader import Reader

log = structlog.get_logger()

#: what everybody is told meanwhile
SILENT = "Postgres does not answer; ask again."

Q = TypeVar("Q", bound=Query)
B = TypeVar("B", bound=BaseModel)


class Nothing(BaseModel):
    """No body; a field in one is unknown."""

    model_config = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True)
class Ask(Generic[Q, B]):
    """A request of somebody who may make it, parsed. *body_hash* is the same for the same JSON."""

    request: Request
    context: Context
    principal: Principal
    query: Q
    body: B
    body_hash: bytes

    @property
    def channels(self) -> Channels:
        return self.principal.channels

    @property
    def base(self) -> str:
        """Returns how the asker reaches us, without a slash at its end; empty where no trusted proxy says."""
        return base_of(self.request.scope, self.request.headers, self.context.settings.trusted_proxies)

    @property
    def nearby(self) -> str:
        """Returns how the asker reaches us, or else the address at which this request was accepted: for
        carriers on this machine."""
        host, port = self.request.scope.get("server") or ("", None)
        host = f"[{host}]" if ":" in host else host
        return self.base or (f"http://{host}:{port}" if host and port else "")

    @property
    def reader(self) -> Reader:
        """Returns the reader whose answers have addresses of files as the asker can reach them."""
        return self.context.reader.seen_from(self.base)


@dataclass(frozen=True, slots=True)
class Header:
    """A request header: what it is for, and what it looks like."""

    description: str
    pattern: str


@dataclass(frozen=True, slots=True)
class Operation(Generic[Q, B]):
    """*answer* is the model of the body of a success, which has the status *status*; *headers* are request
    headers, *problems* the statuses of failures beside those that all have. A *body* that is *optional* may
    be left out, and is then ``{}``. An operation that *uploads* takes a body that is no JSON, by its content
    type; its endpoint reads it. *undecided* says how to go on where nobody knows whether a change was made;
    what reads has none, and sends tell for themselves."""

    method: str
    path: str
    endpoint: Callable[[Ask[Q, B]], Awaitable[Response]]
    summary: str
    scope: Scope
    query: type[Q]
    body: type[B]
    answer: type[BaseModel]
    status: int = 200
    headers: Mapping[str, Header] = field(default_factory=dict)
    problems: Sequence[int] = ()
    optional: bool = False
    uploads: Mapping[str, Any] = field(default_factory=dict)
    media_type: str = "application/json"
    undecided: str = ""

    async def __call__(self, request: Request) -> Response:
        context: Context = request.app.state.context
        request.scope["state"]["route"] = self.path
        # whoever has no key is told so whatever Postgres does, and keeps nobody waiting
        presented = context.auth.presented(request.headers.get("authorization"))
        try:
            return await context.pulse.heed(self._answer(request, context, presented))
        except Silent:
            if self.undecided and request.scope["state"].get("begun"):
                raise outcome_unknown(self.undecided) from None
            raise unavailable(SILENT) from None

    async def _answer(self, request: Request, context: Context, presented: Presented) -> Response:
        principal = await context.auth.authenticate(presented)
        allowance = context.auth.spend(principal)
        request.scope["state"]["headers"].update(allowance.headers)
        principal.require(self.scope)
        ask = await self._ask(request, context, principal)
        request.scope["state"]["begun"] = True
        try:
            return await self.endpoint(ask)
        except Exception as error:
            if self.undecided and is_of_database(error):
                log.warning("a change was cut off", error=type(error).__name__, route=route(request))
                raise outcome_unknown(self.undecided) from error
            raise

    async def _ask(self, request: Request, context: Context, principal: Principal) -> Ask[Q, B]:
        query = reading.query(request, self.query)
        if self.uploads:
            return Ask(request, context, principal, query, self.body(), b"")
        optional = self.optional or self.body is Nothing
        body, body_hash = await reading.body(request, self.body, optional=optional)
        return Ask(request, context, principal, query, body, body_hash)


@dataclass(frozen=True, slots=True)
class Page:
    """What anybody may fetch without a key. *content* says what answers look like, by status."""

    path: str
    endpoint: Callable[[Request], Coroutine[Any, Any, Response]]
    summary: str
    media_type: str
    answer: type[BaseModel] | None = None
    problems: Sequence[int] = ()
    asks_postgres: bool = False

    async def __call__(self, request: Request) -> Response:
        request.scope["state"]["route"] = self.path
        if not self.asks_postgres:
            return await self.endpoint(request)
        context: Context = request.app.state.context
        try:
            return await context.pulse.heed(self.endpoint(request))
        except Silent:
            raise unavailable(SILENT) from None


def json(body: BaseModel, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(body.model_dump_json(), status, headers, "application/json")


def routes_of(operations: Sequence[Operation[Any, Any]]) -> list[Route]:
    """One route per path, so that a wrong method is told all the right ones. What is no id names nothing."""
    by_path: dict[str, dict[str, Operation[Any, Any]]] = {}
    for operation in operations:
        by_path.setdefault(operation.path, {})[operation.method] = operation
    return [
        Route(_typed(path), _by_method(methods), methods=list(methods), name=path)
        for path, methods in by_path.items()
    ]


def pages_of(pages: Sequence[Page]) -> list[Route]:
    return [Route(_typed(page.path), _page(page), methods=["GET"], name=page.path) for page in pages]


def _page(page: Page) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        return await page(request)

    return endpoint


def _typed(path: str) -> str:
    return path.replace("{id}", "{id:uuid}")


def _by_method(
    methods: Mapping[str, Operation[Any, Any]],
) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        return await methods[method](request)

    return endpoint
