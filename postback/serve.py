"""``postback serve``: web processes, one or several."""

import asyncio
import signal
import socket
import sys
from typing import Annotated

import typer
import uvloop

from postback import life
from postback.options import Host, Port, Workers
from postback.start import begun, configured, connected
from postback.supervisor import Process, Supervisor
from receiver import fetching
from receiver.channel_checks import providers_of
from receiver.config import Settings
from receiver.generation import Watch
from receiver.janitor import SELDOM, alongside
from receiver.serve import bind
from receiver.serve import serve as run_server


def serve(
    host: Host = "127.0.0.1",
    port: Port = 8080,
    workers: Workers = 1,
    shared: Annotated[bool, typer.Option(hidden=True)] = False,
) -> None:
    """The receiver and its API."""
    settings = connected(configured())
    providers_of(settings)
    asyncio.run(begun(settings))
    server = bind(host, port, shared=shared or workers > 1)
    host, port = server.getsockname()[:2]
    if workers == 1:
        # uvicorn raises the signal again when it has stopped; a stop that was asked for is no failure
        watch = Watch(settings)
        for sent in (signal.SIGINT, signal.SIGTERM):
            signal.signal(sent, lambda *_: sys.exit(watch.exit_code))
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(settings, watch, server, f"http://{host}:{port}"))
        return
    server.close()
    # each worker listens for itself, and the kernel spreads the callers over them
    worker = (sys.executable, "-m", "postback", "serve", "--host", host, "--port", str(port), "--shared")
    web = [Process(f"web.{number}", worker, ready="ready ") for number in range(1, workers + 1)]

    async def on_ready() -> None:
        life.ready(f"http://{host}:{port}")

    async def run() -> None:
        async with life.shown():
            await Supervisor(web).run(on_ready)

    asyncio.run(run())


async def _serve(settings: Settings, watch: Watch, server: socket.socket, address: str) -> None:
    async with (
        life.shown(),
        watch.alongside(),
        alongside(settings, look=SELDOM),
        fetching.alongside(settings),
    ):
        await run_server(settings, server, lambda: life.ready(address))
