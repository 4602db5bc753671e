"""The ``postback`` command. Each of its commands is imported when it is called: all together take longer to
import than most of them to run."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

#: each command: where its function or its ``Typer`` stands, and its line in the help
COMMANDS = {
    "up": ("postback.up:up", "Everything in one: database, receiver, sender, forwarder, practice carrier."),
    "serve": ("postback.serve:serve", "The receiver and its API."),
    "send": ("postback.send:send", "Sends what the outbox holds; any number of these may run."),
    "forward": ("postback.forward:forward", "Posts events to the subscribers; any number of these may run."),
    "migrate": ("postback.migrate:migrate", "The database to the newest version."),
    "janitor": (
        "postback.janitor:janitor",
        "Makes the partitions ahead, removes what has been kept long enough, and says what that was.",
    ),
    "doctor": (
        "postback.doctor:doctor",
        "Checks configuration, clock, disk, address and database, and says what to do.",
    ),
    "channels": ("postback.channels:app", "The channels, and tokens for their callback URLs."),
    "keys": ("postback.keys:app", "API keys."),
    "secrets": ("postback.secret_keys:app", "The keys of the setting secret_key."),
    "payloads": ("postback.payloads:app", "What carriers sent, as it is kept."),
    "recompute": (
        "postback.payloads:recompute",
        "Folds all statuses again from their events, and says which that changes.",
    ),
    "erase": (
        "postback.erase:erase",
        "Removes a number everywhere: messages lose their words and files, and keep a masked number.",
    ),
    "simulate": (
        "postback.simulate:simulate",
        "The practice carriers, with an account for every channel whose base_url leads here.",
    ),
    "practice-key": (
        "postback.simulate:practice_key",
        "Prints the key to the practice carrier's control routes, and nothing else.",
    ),
}


def loaded(name: str) -> Any:
    """Returns the command *name* itself, ready to be called."""
    module, _, attribute = COMMANDS[name][0].partition(":")
    found = getattr(import_module(module), attribute)
    if isinstance(found, typer.Typer):
        return typer.main.get_command(found)
    alone = typer.Typer(add_completion=False)
    alone.command(name)(found)
    return typer.main.get_command(alone)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Looks for no garbage meanwhile, nor in what is there at the end: an eighth of the time of an import."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


class Commands(TyperGroup):
    """Knows of every command its name and its line, until it is called."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        for name, (_, line) in COMMANDS.items():
            self.add_command(TyperCommand(name, help=line))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args[0] in COMMANDS:
            with _uncollected():
                import_module("postback.logs").configure()
                self.add_command(loaded(args[0]), args[0])
        return super().resolve_command(ctx, args)


app = typer.Typer(cls=Commands, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


def _said(asked: bool) -> None:
    if asked:
        print(f"postback {version('postback')}")
        raise typer.Exit


@app.callback()
def postback(
    version: Annotated[
        bool, typer.Option("--version", callback=_said, is_eager=True, help="Prints the version.")
    ] = False,
) -> None:
    """Receives what SMS and MMS carriers call back with, and keeps one status timeline per message."""


def main() -> None:
    """Runs the command that the arguments name. A failure ends it with exit code 1."""
    try:
        app()
    except Exception as error:  # noqa: BLE001 - Python would show what it quotes
        import_module("postback.failures").tell(error)
        sys.exit(1)
