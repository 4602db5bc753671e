"""``postback keys``: who may use the API."""

import asyncio
import difflib
import re
import sys
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, TypeVar
from uuid import UUID

import typer
from sqlalchemy.ext.asyncio import AsyncEngine

from models import ApiKey
from postback import practice
from postback.start import borrowed, configured, using
from receiver import auth
from receiver.config import ConfigError
from receiver.secrets import Secrets

Result = TypeVar("Result")

app = typer.Typer(help="API keys.", no_args_is_help=True, add_completion=False)


@app.command()
def create(
    name: Annotated[str, typer.Option(help="What the key is for; also the scope of its idempotency keys.")],
    scope: Annotated[str, typer.Option(help="Any of read, send, admin, with commas.")] = "read",
    channel: Annotated[
        list[str] | None, typer.Option(help="The only channel it sees; may be repeated.")
    ] = None,
    expires: Annotated[
        str | None,
        typer.Option(help="When it ends: after days, as in 30d, or at a date or time in UTC."),
    ] = None,
) -> None:
    """Makes a key and prints it, and nothing else: it is shown this once."""
    scopes = [word.strip() for word in scope.split(",") if word.strip()]
    channels = _known([part.strip() for word in channel for part in word.split(",")]) if channel else None
    expires_at = None if expires is None else _moment(expires, datetime.now(UTC))

    async def work(engine: AsyncEngine, keys: Secrets) -> str:
        return await auth.create_key(
            engine, keys, name=name, scopes=scopes, channels=channels, expires_at=expires_at
        )

    try:
        print(_with_database(work))
    except ValueError as error:
        raise ConfigError(f"The key cannot be made: {error}.") from None


@app.command("list")
def list_() -> None:
    """All keys: id, name, scopes, channels, since when, until when, when last used, and whether active."""

    async def work(engine: AsyncEngine, _: Secrets) -> Any:
        return await auth.list_keys(engine)

    for key in _with_database(work):
        seen = ",".join(key.channels) if key.channels is not None else "all channels"
        ends = f"expires {key.expires_at:%Y-%m-%d %H:%M}" if key.expires_at else "never expires"
        used = f"last used {key.last_used_at:%Y-%m-%d %H:%M}" if key.last_used_at else "never used"
        facts = (str(key.id), key.name, ",".join(key.scopes), seen, f"{key.created_at:%Y-%m-%d}")
        print("  ".join([*facts, ends, used, _state(key)]))


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


def _known(names: Sequence[str]) -> Sequence[str]:
    """Returns *names* where each is a channel's. Raises ``ConfigError``, which names the nearest one."""
    settings = configured()
    known = [*settings.channels, *([practice.CHANNEL] if practice.exists(settings) else [])]
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
            hint = f'the nearest one is "{near[0]}"' if near else "none are configured"
            raise ConfigError(
                f'There is no channel "{name}"; {hint}. Without --channel a key sees all of them.'
            )
    return names


def _moment(given: str, now: datetime) -> datetime:
    """Returns when a key with ``--expires`` *given* ends. Raises ``ConfigError``."""
    days = re.fullmatch(r"(?a)(\d{1,5})d", given)
    try:
        if days:
            return now + timedelta(days=int(days[1]))
        at = datetime.fromisoformat(given)
    except ValueError:
        raise ConfigError(
            f'--expires is days such as 30d, or a date such as 2027-01-31; it is "{given}".'
        ) from None
    return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)


def _state(key: ApiKey) -> str:
    if key.revoked_at:
        return "revoked"
    return "expired" if key.expires_at and key.expires_at <= datetime.now(UTC) else "active"


def _with_database(work: Callable[[AsyncEngine, Secrets], Awaitable[Result]]) -> Result:
    with borrowed(configured()) as settings:
        return asyncio.run(using(settings, work))
