"""``postback up``: database, receiver, sender, forwarder and practice carrier under one supervisor."""

import asyncio
import socket
import sys
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Annotated

import typer

from postback import demo, life, practice
from postback.embedded import EmbeddedPostgres
from postback.options import Host, Port, Workers
from postback.start import checked, configured, migrated, with_database
from postback.supervisor import Process, Supervisor
from receiver.channel_checks import providers_of
from receiver.config import Settings
from receiver.serve import StartError, bind


@dataclass(frozen=True, slots=True)
class Plan:
    """What `up` was asked for.

    *demonstrate* sends a first message and prints what became of it. *simulator* None runs the practice
    carrier for a demonstration, and where no channel leads elsewhere.
    """

    host: str
    port: int
    workers: int
    simulator: bool | None
    demonstrate: bool

    @property
    def address(self) -> str:
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.host, self.host)
        return f"http://{host}:{self.port}"


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
    run(configured(), Plan(host, port, workers, simulator, demo))


def run(settings: Settings, plan: Plan) -> None:
    """Runs what *plan* asks for, until SIGINT or SIGTERM. Raises the errors of all that it starts."""
    if plan.demonstrate and plan.simulator is False:
        raise StartError("The demonstration needs the practice carrier; leave out --no-simulator.")
    providers_of(settings)
    # a port that is taken should say so before anything starts
    with bind(plan.host, plan.port) as probe:
        plan = replace(plan, port=probe.getsockname()[1])
    with ExitStack() as stack:
        server = None
        if settings.embedded:
            server = stack.enter_context(EmbeddedPostgres(settings.data_dir))
            settings = with_database(settings, server.url)
        address = carrier(settings, plan, practice.PORT)
        environment: dict[str, str] = {}
        if address and (plan.demonstrate or not settings.channels):
            settings = practice.added(settings, address)
            environment = practice.environment(settings)
        asyncio.run(_run(settings, plan, address, environment, server))


async def _run(
    settings: Settings, plan: Plan, carrier: str, environment: dict[str, str], server: EmbeddedPostgres | None
) -> None:
    await migrated(settings)
    await checked(settings)
    alongside: list[Callable[[], Awaitable[None]]] = [server.keep_running] if server else []
    supervisor = Supervisor(_processes(plan, carrier, environment), alongside=alongside)

    async def on_ready() -> None:
        life.ready(plan.address)
        if plan.demonstrate:
            await demo.run(settings, plan.address, carrier)
        elif carrier:
            print(f"practice carrier {carrier}, key {practice.key(settings.data_dir)}", flush=True)

    await supervisor.run(on_ready)


def _processes(plan: Plan, carrier: str, environment: dict[str, str]) -> list[Process]:
    def process(name: str, *arguments: str, ready: str | None = None) -> Process:
        return Process(name, (sys.executable, "-m", "postback", *arguments), environment, ready)

    processes = []
    if carrier:
        port = carrier.rpartition(":")[2]
        processes.append(
            process(
                "carrier", "simulate", "--port", port, "--callbacks", plan.address, "--silent", ready="ready "
            )
        )
    processes.append(
        process(
            "web",
            "serve",
            "--host",
            plan.host,
            "--port",
            str(plan.port),
            "--workers",
            str(plan.workers),
            ready="ready ",
        )
    )
    processes.append(process("sender", "send"))
    processes.append(process("forwarder", "forward"))
    return processes


def carrier(settings: Settings, plan: Plan, usual: int) -> str:
    """Returns the address of the practice carrier to start, empty for none.

    Its port is *usual*, or another one where that is taken.
    """
    if plan.simulator is False:
        return ""
    address = f"http://127.0.0.1:{_free_port(usual)}"
    if plan.simulator or plan.demonstrate:
        return address
    return address if all(practice.leads_to(one, address) for one in settings.channels.values()) else ""


def _free_port(usual: int) -> int:
    """Returns *usual*, or another one that is free where that is taken."""
    for port in (usual, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise OSError("no free port on 127.0.0.1")
