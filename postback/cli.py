"""The ``postback`` command."""

import asyncio
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

import structlog
import typer
import uvloop

from postback import keys, logs, practice
from postback.embedded import EmbeddedPostgresError
from postback.start import borrowed, checked, connected, migrated
from postback.supervisor import Process, Supervisor, SupervisorError
from postback.up import PRACTICE_PORT, Plan
from postback.up import up as run_up
from receiver import config
from receiver.app import providers_of
from receiver.config import ConfigError, Settings
from receiver.db import DatabaseError
from receiver.serve import StartError, bind
from receiver.serve import serve as run_server
from sender import loop
from simulator import app as simulator

Host = Annotated[str, typer.Option(help="The address to listen on.")]
Port = Annotated[int, typer.Option(min=0, max=65535, help="The port to listen on; 0 takes a free one.")]
Workers = Annotated[int, typer.Option(min=1, help="Web processes.")]

app = typer.Typer(
    help="Receives what SMS and MMS carriers call back with, and keeps one status timeline per message.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(keys.app, name="keys")

log = structlog.get_logger()

_CHECKS = ("tokens", "basic", "bearer", "webhook_secret", "allow_from")
_SENTENCES = (ConfigError, DatabaseError, EmbeddedPostgresError, StartError, SupervisorError)


def main() -> None:
    """Every failure that a person can mend ends in one sentence on standard error and exit code 1."""
    logs.configure()
    try:
        app()
    except _SENTENCES as error:
        print(error, file=sys.stderr)
        sys.exit(1)


@app.command()
def up(
    host: Host = "127.0.0.1",
    port: Port = 8080,
    workers: Workers = 1,
    simulator: Annotated[bool, typer.Option(help="Run the practice carrier too.")] = True,
    demo: Annotated[bool, typer.Option("--demo", help="Send a first message and show its timeline.")] = False,
) -> None:
    """Everything in one: database, receiver, sender, forwarder, practice carrier."""
    run_up(config.load(), Plan(host, port, workers, simulator, demo))


@app.command()
def serve(
    host: Host = "127.0.0.1",
    port: Port = 8080,
    workers: Workers = 1,
    shared: Annotated[bool, typer.Option(hidden=True)] = False,
) -> None:
    """The receiver and its API."""
    settings = connected(config.load())
    providers_of(settings)
    asyncio.run(checked(settings))
    server = bind(host, port, shared=shared or workers > 1)
    host, port = server.getsockname()[:2]
    if workers == 1:
        # uvicorn raises the signal again when it has stopped; a stop that was asked for is no failure
        for sent in (signal.SIGINT, signal.SIGTERM):
            signal.signal(sent, lambda *_: sys.exit(0))
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run_server(settings, server, lambda: _ready(f"http://{host}:{port}")))
        return
    server.close()
    # each worker listens for itself, and the kernel spreads the callers over them
    worker = (sys.executable, "-m", "postback", "serve", "--host", host, "--port", str(port), "--shared")
    web = [Process(f"web.{number}", worker, ready="ready ") for number in range(1, workers + 1)]

    async def on_ready() -> None:
        _ready(f"http://{host}:{port}")

    asyncio.run(Supervisor(web).run(on_ready))


@app.command()
def send() -> None:
    """Sends what the outbox holds; any number of these may run."""
    settings = connected(config.load())
    providers = providers_of(settings)
    _until_stopped(settings, lambda stop: loop.run(settings, providers, stop))


@app.command()
def forward() -> None:
    """Holds the place of the process that will forward events to apps; so far it does nothing."""

    async def wait(stop: asyncio.Event) -> None:
        log.info("forwarding", subscribers=0)
        await stop.wait()

    _until_stopped(connected(config.load()), wait)


@app.command()
def migrate() -> None:
    """The database to the newest version."""
    with borrowed(config.load()) as settings:
        asyncio.run(migrated(settings))


@app.command()
def channels() -> None:
    """Each channel: its provider, the address to give its carrier, how callers prove themselves."""
    settings = config.load()
    providers_of(settings)
    base = settings.public_url or "http://127.0.0.1:8080"
    shown = settings
    if not settings.channels and practice.exists(settings):
        shown = practice.added(settings, "")  # what `up` adds where nothing is configured
    for channel in shown.channels.values():
        checks = [name for name in _CHECKS if getattr(channel, name)]
        print(f"{channel.name}\n  provider        {channel.provider}")
        print(f"  callback URL    {practice.callback_url(channel, base)}")
        print(f"  authentication  {', '.join(checks) or 'none (insecure)'}")
    if not shown.channels:
        print("No channels are configured; `postback up` makes one to the practice carrier.", file=sys.stderr)
    elif settings.channels and not settings.public_url:
        print("public_url is not set: carriers cannot reach 127.0.0.1.", file=sys.stderr)


@app.command()
def simulate(
    port: Port = PRACTICE_PORT,
    callbacks: Annotated[str, typer.Option(help="Where the receiver is reached.")] = "http://127.0.0.1:8080",
) -> None:
    """The practice carriers, with an account for every channel that they can serve."""
    accounts = practice.accounts(config.load(), callbacks)
    try:
        asyncio.run(simulator.serve(accounts, "127.0.0.1", port, ready=_ready))
    except OSError as error:
        raise StartError(
            f"Port {port} cannot be used ({error.strerror}); choose another with --port."
        ) from None


def _ready(address: str) -> None:
    print(f"ready {address}", flush=True)


def _until_stopped(settings: Settings, work: Callable[[asyncio.Event], Coroutine[Any, Any, Any]]) -> None:
    """*work* on a database that is ours, until SIGINT or SIGTERM sets the event that it is given."""

    async def run() -> None:
        await checked(settings)
        stop = asyncio.Event()
        for sent in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(sent, stop.set)
        await work(stop)

    asyncio.run(run())
