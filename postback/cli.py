"""The ``postback`` command."""

import asyncio
import signal
import socket
import sys
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

import structlog
import typer
import uvloop

from postback import channels, erase, keys, life, logs, payloads, practice, secret_keys
from postback.doctor import run as run_doctor
from postback.embedded import EmbeddedPostgresError
from postback.janitor import run as run_janitor
from postback.start import borrowed, checked, configured, connected, migrated
from postback.supervisor import Process, Supervisor, SupervisorError
from postback.up import PRACTICE_PORT, Plan
from postback.up import up as run_up
from receiver import fetching
from receiver import forward as forwarding
from receiver.app import providers_of
from receiver.config import ConfigError, Settings
from receiver.db import DatabaseError, of_losing, reached
from receiver.generation import Watch
from receiver.janitor import SELDOM, alongside
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
app.add_typer(payloads.app, name="payloads")
app.add_typer(channels.app, name="channels")
app.add_typer(secret_keys.app, name="secrets")
app.command()(payloads.recompute)
app.command()(erase.erase)

log = structlog.get_logger()

_SENTENCES = (ConfigError, DatabaseError, EmbeddedPostgresError, StartError, SupervisorError)


def main() -> None:
    """Every failure that a person can mend ends in one sentence on standard error and exit code 1."""
    logs.configure()
    try:
        app()
    except _SENTENCES as error:
        print(error, file=sys.stderr)
        sys.exit(1)
    except Exception as error:  # Python would show what it quotes
        if lost := of_losing(error):
            print(lost, file=sys.stderr)
        else:
            log.critical("ended by an error", exc_info=error)
        sys.exit(1)


@app.command()
def up(
    host: Host = "127.0.0.1",
    port: Port = 8080,
    workers: Workers = 1,
    simulator: Annotated[
        bool | None,
        typer.Option(
            "--simulator/--no-simulator",
            help="Run the practice carrier too; by itself it runs where no channel leads elsewhere.",
        ),
    ] = None,
    demo: Annotated[bool, typer.Option("--demo", help="Send a first message and show its timeline.")] = False,
) -> None:
    """Everything in one: database, receiver, sender, forwarder, practice carrier."""
    run_up(configured(), Plan(host, port, workers, simulator, demo))


@app.command()
def serve(
    host: Host = "127.0.0.1",
    port: Port = 8080,
    workers: Workers = 1,
    shared: Annotated[bool, typer.Option(hidden=True)] = False,
) -> None:
    """The receiver and its API."""
    settings = connected(configured())
    providers_of(settings)
    check = checked(settings)
    asyncio.run(reached(lambda: check) if settings.spool else check)
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
        _ready(f"http://{host}:{port}")

    async def run() -> None:
        async with life.shown():
            await Supervisor(web).run(on_ready)

    asyncio.run(run())


@app.command()
def send() -> None:
    """Sends what the outbox holds; any number of these may run."""
    settings = connected(configured())
    providers = providers_of(settings)
    _until_stopped(settings, lambda stop: loop.run(settings, providers, stop))


@app.command()
def forward() -> None:
    """Posts events to the subscribers; any number of these may run."""
    settings = connected(configured())
    _until_stopped(settings, lambda stop: forwarding.run(settings, stop))


@app.command()
def migrate() -> None:
    """The database to the newest version."""
    with borrowed(configured()) as settings:
        asyncio.run(migrated(settings))


@app.command()
def janitor() -> None:
    """Makes the partitions ahead, removes what has been kept long enough, and says what that was."""
    settings = connected(configured())
    asyncio.run(checked(settings))
    sys.exit(run_janitor(settings))


@app.command()
def doctor() -> None:
    """Checks configuration, clock, disk, address and database, and says what to do."""
    sys.exit(run_doctor())


@app.command()
def simulate(
    port: Port = PRACTICE_PORT,
    callbacks: Annotated[str, typer.Option(help="Where the receiver is reached.")] = "http://127.0.0.1:8080",
    silent: Annotated[bool, typer.Option(hidden=True)] = False,
) -> None:
    """The practice carriers, with an account for every channel whose base_url leads here."""
    settings = configured()
    accounts = practice.accounts(settings, callbacks, f"http://127.0.0.1:{port}")
    key = practice.key(settings.data_dir)

    def ready(address: str) -> None:
        _ready(address)
        if not silent:  # `up` says it where people look, and not into a log
            print(f"key {key}", flush=True)

    try:
        asyncio.run(simulator.serve(accounts, "127.0.0.1", port, key=key, ready=ready))
    except OSError as error:
        raise StartError(
            f"Port {port} cannot be used ({error.strerror}); choose another with --port."
        ) from None


@app.command("practice-key")
def practice_key() -> None:
    """Prints the key to the practice carrier's control routes, and nothing else."""
    print(practice.key(configured().data_dir))


def _ready(address: str) -> None:
    print(f"ready {address}", flush=True)


async def _serve(settings: Settings, watch: Watch, server: socket.socket, address: str) -> None:
    async with (
        life.shown(),
        watch.alongside(),
        alongside(settings, look=SELDOM),
        fetching.alongside(settings),
    ):
        await run_server(settings, server, lambda: _ready(address))


def _until_stopped(settings: Settings, work: Callable[[asyncio.Event], Coroutine[Any, Any, Any]]) -> None:
    """*work* on a database that is ours, until SIGINT or SIGTERM sets the event that it is given."""
    watch = Watch(settings)

    async def run() -> None:
        await checked(settings)
        stop = asyncio.Event()
        for sent in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(sent, stop.set)
        async with life.shown(), watch.alongside(), alongside(settings):
            await work(stop)

    asyncio.run(run())
    if watch.exit_code:
        sys.exit(watch.exit_code)
