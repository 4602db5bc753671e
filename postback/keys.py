"""``postback keys``: who may use the API."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypeVar
from uuid import UUID

import typer
from sqlalchemy.ext.asyncio import AsyncEngine

from postback.start import borrowed, configured, using
from receiver import auth
from receiver.config import ConfigError
from receiver.secrets import Secrets

Result = TypeVar("Result")

app = typer.Typer(help="API keys.", no_args_is_help=True)


@app.command()
def create(
    name: Annotated[str, typer.Option(help="What the key is for; also the scope of its idempotency keys.")],
    scope: Annotated[str, typer.Option(help="Any of read, send, admin, with commas.")] = "read,send,admin",
    channel: Annotated[
        list[str] | None, typer.Option(help="The only channel it sees; may be repeated.")
    ] = None,
) -> None:
    """Makes a key and prints it, and nothing else: it is shown this once."""
    scopes = [word.strip() for word in scope.split(",") if word.strip()]
    channels = [part.strip() for word in channel or () for part in word.split(",") if part.strip()]

    async def work(engine: AsyncEngine, keys: Secrets) -> str:
        return await auth.create_key(engine, keys, name=name, scopes=scopes, channels=channels or None)

    try:
        print(_with_database(work))
    except ValueError as error:
        raise ConfigError(f"The key cannot be made: {error}.") from None


@app.command("list")
def list_() -> None:
    """All keys: id, name, scopes, channels, since when, and whether revoked."""

    async def work(engine: AsyncEngine, _: Secrets) -> Any:
        return await auth.list_keys(engine)

    for key in _with_database(work):
        seen = ",".join(key.channels) if key.channels is not None else "all channels"
        state = "revoked" if key.revoked_at else "active"
        print(f"{key.id}  {key.name}  {','.join(key.scopes)}  {seen}  {key.created_at:%Y-%m-%d}  {state}")


@app.command()
def revoke(key_id: Annotated[str, typer.Argument(metavar="ID")]) -> None:
    """Ends a key; receivers notice within seconds."""
    try:
        wanted = UUID(key_id)
    except ValueError:
        raise ConfigError(f'"{key_id}" is not the id of a key; `postback keys list` shows them.') from None

    async def work(engine: AsyncEngine, _: Secrets) -> bool:
        return await auth.revoke_key(engine, wanted)

    if not _with_database(work):
        raise ConfigError(f"There is no key {key_id}; `postback keys list` shows them.")
    print(f"revoked {key_id}", file=sys.stderr)


def _with_database(work: Callable[[AsyncEngine, Secrets], Awaitable[Result]]) -> Result:
    with borrowed(configured()) as settings:
        return asyncio.run(using(settings, work))
