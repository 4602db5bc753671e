"""Runs the receiver: one worker in this process, or several under uvicorn's supervision."""

import gc
import resource
import socket
from collections.abc import Callable

import uvicorn

from receiver.app import App
from receiver.config import Settings
from receiver.protocol import BoundedProtocol

#: seconds that requests under way get when the process is told to stop
GRACE = 8
BACKLOG = 2048


class StartError(Exception):
    """The server cannot start; the message says why and what to do, in one sentence."""


def bind(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """A bound socket; port 0 takes a free one. *shared*: others of ours may listen there as well.

    Raises ``StartError``.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    server = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        server.bind((host, port))
    except OSError as error:
        server.close()
        raise StartError(
            f"The address {host}:{port} cannot be used ({error.strerror}); stop what listens there, or "
            "choose another with --port or --host."
        ) from None
    return server


async def serve(settings: Settings, server: socket.socket, ready: Callable[[], None]) -> None:
    """Serves on *server*, and on ``metrics_listen`` where it is set, until SIGINT or SIGTERM; calls *ready*
    once requests are accepted. Raises ``StartError``."""
    raise_file_limit()
    rest_the_collector()
    sockets = [server]
    if settings.metrics_listen:
        host, _, port = settings.metrics_listen.rpartition(":")
        sockets.append(bind(host.strip("[]"), int(port), shared=True))
    await _Announced(App(settings), settings, ready).serve(sockets=sockets)


def config(
    app: App, settings: Settings, *, protocol: type[BoundedProtocol] = BoundedProtocol, grace: int = GRACE
) -> uvicorn.Config:
    """How the receiver is served. *grace*: seconds for requests under way when it is told to stop."""
    return uvicorn.Config(
        app,
        http=protocol,
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        date_header=False,
        timeout_keep_alive=settings.keep_alive,
        timeout_graceful_shutdown=grace,
        proxy_headers=False,  # receiver.callers believes the proxies that the configuration names
        backlog=BACKLOG,
    )


def rest_the_collector() -> None:
    """What is there at the start stays, and is not looked through again; and garbage in cycles is rare here,
    so it is looked for less often (docs/performance.md)."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(25_000, 20, 20)


def raise_file_limit() -> None:
    """To the hard limit: two thousand slow callers exceed the usual 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class _Announced(uvicorn.Server):
    """Says so once its lifespan has begun and its sockets are open, and waits for no listener at its end."""

    def __init__(self, app: App, settings: Settings, ready: Callable[[], None]) -> None:
        super().__init__(config(app, settings))
        self._app, self._ready = app, ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.should_exit:
            self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._app.hush()
        await super().shutdown(sockets)
