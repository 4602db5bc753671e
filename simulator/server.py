"""uvicorn with two manners of its own: it can hang up without an answer, and it stops without a signal."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator

import uvicorn
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HANG_UP = "practice.hang_up"


class HangingUpProtocol(HttpToolsProtocol):
    """Offers every request the ASGI extension ``practice.hang_up``: a way to close its connection."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {HANG_UP: {"close": self.transport.close}}


class HangUp(Response):
    """No answer at all: the client sees its connection closed after it sent the request."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        extension = scope.get("extensions", {}).get(HANG_UP)
        if extension is None:
            raise ConnectionResetError("the practice carrier closed the connection")
        extension["close"]()
        # an application that returns before uvicorn saw the end of the connection is reported as broken
        while (await receive())["type"] != "http.disconnect":
            pass


class Server(uvicorn.Server):
    """Serves *app* until ``stop()``; with *signals* also until SIGTERM or SIGINT, and then returns.

    uvicorn itself raises the signal again when it is done, which ends the process before its caller can
    tidy up, and it looks only ten times a second whether it should stop.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        *,
        signals: bool = False,
        accepting: Callable[[], None] | None = None,
        before_stop: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        super().__init__(config)
        self._accepting = accepting
        self._stop = asyncio.Event()
        self._signals = (signal.SIGTERM, signal.SIGINT) if signals else ()
        self._before_stop = before_stop

    def stop(self) -> None:
        self.should_exit = True
        self._stop.set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Raises ``RuntimeError`` for an application that fails to start; uvicorn would exit the process."""
        try:
            await super().startup(sockets)
        except SystemExit:
            raise RuntimeError("the application did not start; its log says why") from None
        if self._accepting:
            self._accepting()

    async def main_loop(self) -> None:
        await self._stop.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._before_stop:
            await self._before_stop()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for caught in self._signals:
            loop.add_signal_handler(caught, self.stop)
        try:
            yield
        finally:
            for caught in self._signals:
                loop.remove_signal_handler(caught)


def config(app: Callable[..., Awaitable[None]], *, patience: int | None = None) -> uvicorn.Config:
    """Silent, and without the headers that would need a clock. *patience*: seconds for open requests."""
    return uvicorn.Config(
        app,
        http=HangingUpProtocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        date_header=False,
        server_header=False,
        timeout_graceful_shutdown=patience,
    )


def listener(host: str, port: int) -> socket.socket:
    """A listening socket; raises ``OSError`` before anything else has started.

    asyncio sets TCP_NODELAY only where the protocol is named, and ``socket.create_server`` does not name
    it: uvicorn writes head and body apart, so each answer would wait 40 ms for a delayed acknowledgement.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(2048)
    except OSError:
        sock.close()
        raise
    return sock
