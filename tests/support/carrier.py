"""Real servers on free loopback ports, in the event loop of the test that asks for them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from receiver.app import App
from receiver.protocol import BoundedProtocol
from simulator.app import Account, create
from simulator.door import KEY_HEADER
from simulator.server import Server, config, listener
from tests.support.patience import PATIENCE

PRACTICE_KEY = "the-key-to-the-control-routes"
#: what the control routes of `running_simulator` ask for
CONTROL = {KEY_HEADER: PRACTICE_KEY}


@asynccontextmanager
async def running(app: Callable[..., Awaitable[None]]) -> AsyncIterator[str]:
    """Runs any ASGI application under uvicorn and yields its base URL, without a slash at its end.

    The receiver is served by its own protocol, which its stream of events needs.
    """
    with listener("127.0.0.1", 0) as sock:
        accepting = asyncio.Event()
        served = config(app, patience=3)
        if isinstance(app, App):
            served.http = BoundedProtocol
        server = Server(served, accepting=accepting.set)
        serving = asyncio.create_task(server.serve(sockets=[sock]))
        waiting = asyncio.create_task(accepting.wait())
        try:
            await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
            if serving.done():
                await serving
            yield f"http://127.0.0.1:{sock.getsockname()[1]}"
        finally:
            waiting.cancel()
            server.stop()
            await asyncio.wait({serving})
        await serving


@asynccontextmanager
async def running_simulator(accounts: Sequence[Account], *, pace: float = 0.001) -> AsyncIterator[str]:
    """The practice carriers; at this *pace* a second report follows after 20 ms, a retry after 0.3 s."""
    async with running(create(accounts, key=PRACTICE_KEY, pace=pace)) as base_url:
        yield base_url


class Receiver:
    """A customer's callback URL: keeps all requests in their order, answers *statuses* in turn, then 200."""

    def __init__(self) -> None:
        self.url = ""
        self.bodies: list[Any] = []
        self.raw: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self.statuses: list[int] = []
        self.answer = b'{"status":"ok"}'
        self._came = asyncio.Condition()
        self.app = Starlette(routes=[Route("/callbacks", self._receive, methods=["POST"])])

    async def first(self, number: int, *, within: float = PATIENCE) -> list[Any]:
        """The first *number* bodies, as soon as they are there. Raises ``TimeoutError``."""
        async with asyncio.timeout(within), self._came:
            await self._came.wait_for(lambda: len(self.bodies) >= number)
        return self.bodies[:number]

    async def _receive(self, request: Request) -> Response:
        raw = await request.body()
        try:
            body = orjson.loads(raw)
        except orjson.JSONDecodeError:
            body = raw
        async with self._came:
            self.bodies.append(body)
            self.raw.append(raw)
            self.headers.append(dict(request.headers))
            status = self.statuses.pop(0) if self.statuses else 200
            self._came.notify_all()
        return Response(self.answer, status, media_type="application/json")


@asynccontextmanager
async def running_receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    async with running(receiver.app) as base_url:
        receiver.url = f"{base_url}/callbacks"
        yield receiver
