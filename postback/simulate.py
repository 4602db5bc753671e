"""``postback simulate`` and ``postback practice-key``: the practice carriers, and the key to them."""

import asyncio
from typing import Annotated

import typer

from postback import life, practice
from postback.options import Port
from postback.start import configured
from receiver.serve import StartError
from simulator import app as simulator


def simulate(
    port: Port = practice.PORT,
    callbacks: Annotated[str, typer.Option(help="Where the receiver is reached.")] = "http://127.0.0.1:8080",
    silent: Annotated[bool, typer.Option(hidden=True)] = False,
) -> None:
    """The practice carriers, with an account for every channel whose base_url leads here."""
    settings = configured()
    accounts = practice.accounts(settings, callbacks, f"http://127.0.0.1:{port}")
    key = practice.key(settings.data_dir)

    def ready(address: str) -> None:
        life.ready(address)
        if not silent:  # `up` says it where people look, and not into a log
            print(f"key {key}", flush=True)

    try:
        asyncio.run(simulator.serve(accounts, "127.0.0.1", port, key=key, ready=ready))
    except OSError as error:
        raise StartError(
            f"Port {port} cannot be used ({error.strerror}); choose another with --port."
        ) from None


def practice_key() -> None:
    """Prints the key to the practice carrier's control routes, and nothing else."""
    print(practice.key(configured().data_dir))
