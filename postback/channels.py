"""``postback channels``: the doors of the configuration, and tokens for them."""

import secrets
import sys
from collections.abc import Sequence
from typing import Any

import typer

from postback import practice
from postback.start import configured
from receiver import sendable
from receiver.channel_checks import providers_of

#: bytes of a new token; 32 characters in a URL
_TOKEN = 24
_CHECKS = ("tokens", "basic", "bearer", "webhook_secret", "allow_from")

app = typer.Typer(
    help="The channels, and tokens for their callback URLs.",
    invoke_without_command=True,
    add_completion=False,
)


@app.callback()
def list_(context: typer.Context) -> None:
    """Each channel: its provider, the address to give its carrier, how callers prove themselves."""
    if context.invoked_subcommand is None:
        _show()


@app.command()
def token() -> None:
    """Makes a callback token and prints it, and nothing else; `tokens` of a channel is its place."""
    print(secrets.token_urlsafe(_TOKEN))


def _show() -> None:
    settings = configured()
    providers = providers_of(settings)
    base = settings.public_url or "http://127.0.0.1:8080"
    shown = settings
    if not settings.channels and practice.exists(settings):
        shown = practice.added(settings, "")  # what `up` adds where nothing is configured
    for channel in shown.channels.values():
        checks = [_check(name, getattr(channel, name)) for name in _CHECKS if getattr(channel, name)]
        print(f"{channel.name}\n  provider        {channel.provider}")
        print(f"  callback URL    {practice.callback_url(channel, base)}")
        print(f"  authentication  {', '.join(checks) or 'none (insecure)'}")
        reasons = sendable.reasons(channel, providers[channel.provider])
        print(f"  can send        {'; '.join(f'no: {reason}' for reason in reasons) or 'yes'}")
    if not shown.channels:
        print("No channels are configured; `postback up` makes one to the practice carrier.", file=sys.stderr)
    elif settings.channels and not settings.public_url:
        print("public_url is not set: carriers cannot reach 127.0.0.1.", file=sys.stderr)


def _check(name: str, accepted: Sequence[Any]) -> str:
    """Returns how a caller may prove himself, with the number of secrets or networks that will do."""
    return name if len(accepted) == 1 else f"{name} ({len(accepted)})"
