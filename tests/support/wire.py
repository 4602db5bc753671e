"""A carrier that takes everything and writes down the very bytes that it was sent."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tests.support.carrier import running
from tests.support.installation import Installation, channel_keys, installation


@dataclass(frozen=True)
class Sent:
    """A request as it came; header names are lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


class Wire:
    """Answers with what *answer* makes of each request; what came stands in *sent*, in its order."""

    def __init__(self, answer: Callable[[Sent], Any]) -> None:
        self.sent: list[Sent] = []
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        sent = Sent(request.method, request.url.path, dict(request.headers), await request.body())
        self.sent.append(sent)
        answer = self._answer(sent)
        if isinstance(answer, Awaitable):
            answer = await answer
        if not isinstance(answer, Response):
            answer = Response(orjson.dumps(answer), media_type="application/json")
        await answer(scope, receive, send)


@asynccontextmanager
async def wired(
    database_url: str, provider: str, answer: Callable[[Sent], Any], **channel: Any
) -> AsyncIterator[tuple[Installation, Wire]]:
    """An installation with one channel of *provider*, which leads to a carrier that answers with *answer*:
    an object, which becomes JSON, or a whole response. *channel* are further keys of it."""
    wire = Wire(answer)
    async with running(wire) as url:
        keys = {**channel_keys(provider, url), **channel}
        del keys["provider"]
        async with installation(database_url, provider, **keys) as home:
            yield home, wire
