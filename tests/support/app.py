"""An app that Postback posts its events to: a real server, which says what it is told to."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import orjson
from standardwebhooks import Webhook
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.support.carrier import running
from tests.support.patience import PATIENCE


@dataclass(frozen=True)
class Heard:
    """One post as it came, *at* on the event loop's clock."""

    headers: Mapping[str, str]
    body: bytes
    at: float

    @property
    def content(self) -> dict[str, Any]:
        found: dict[str, Any] = orjson.loads(self.body)
        return found

    @property
    def event(self) -> dict[str, Any]:
        found: dict[str, Any] = self.content["data"]["event"]
        return found

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    def verify(self, secret: str) -> None:
        """Raises what the reference library raises."""
        Webhook(secret).verify(self.body, dict(self.headers))


#: what an app does with a post
Manner = Callable[[Heard], Awaitable[Response]]


async def takes(_: Heard) -> Response:
    return Response(status_code=204)


class App:
    """Keeps every post, and answers in its *manner*; *took* are those that it answered 2xx."""

    def __init__(self, manner: Manner = takes) -> None:
        self.url = ""
        self.manner = manner
        self.heard: list[Heard] = []
        self.took: list[Heard] = []
        self._came = asyncio.Condition()
        self.asgi = Starlette(routes=[Route("/events", self._receive, methods=["POST"])])

    async def first(self, number: int, *, within: float = PATIENCE) -> list[Heard]:
        """The first *number* posts, as soon as they are there. Raises ``TimeoutError``."""
        async with asyncio.timeout(within), self._came:
            await self._came.wait_for(lambda: len(self.heard) >= number)
        return self.heard[:number]

    async def taken(self, number: int, *, within: float = PATIENCE) -> list[Heard]:
        """The same of those that it took."""
        async with asyncio.timeout(within), self._came:
            await self._came.wait_for(lambda: len(self.took) >= number)
        return self.took[:number]

    async def _receive(self, request: Request) -> Response:
        body = await request.body()
        heard = Heard(dict(request.headers), body, asyncio.get_running_loop().time())
        async with self._came:
            self.heard.append(heard)
            self._came.notify_all()
        answer = await self.manner(heard)
        if answer.status_code < 300:
            async with self._came:
                self.took.append(heard)
                self._came.notify_all()
        return answer


@asynccontextmanager
async def running_app(manner: Manner = takes) -> AsyncIterator[App]:
    app = App(manner)
    async with running(app.asgi) as base_url:
        app.url = f"{base_url}/events"
        yield app
