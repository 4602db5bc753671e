"""``postback secrets``: the keys of the setting ``secret_key``."""

import asyncio
import sys

import typer
from sqlalchemy.ext.asyncio import AsyncEngine

from postback import progress
from postback.start import borrowed, configured, using
from receiver import rotation, secrets
from receiver.config import ConfigError, Settings
from receiver.secrets import Secrets

app = typer.Typer(help="The keys of the setting secret_key.", no_args_is_help=True, add_completion=False)


@app.command()
def key() -> None:
    """Makes a secret key and prints it, and nothing else; the front of `secret_key` is its place."""
    print(secrets.make())


@app.command()
def rotate() -> None:
    """Encrypts anew under the first key, and says what still needs an older one; may be repeated."""
    with borrowed(configured()) as settings:
        if len(settings.secret_key) < 2:
            raise ConfigError(
                "secret_key lists one key; make another with: postback secrets key, list it in front of that "
                "one, restart every process, and run this again."
            )

        async def work(engine: AsyncEngine, keys: Secrets) -> None:
            await _rotate(settings, engine, keys)

        asyncio.run(using(settings, work))


async def _rotate(settings: Settings, engine: AsyncEngine, keys: Secrets) -> None:
    subscribers, done = await rotation.subscribers(engine), []
    with progress.bar() as shown:
        task = shown.add_task("subscribers", total=len(subscribers))
        async for one in progress.until_stopped(rotation.renewed(engine, keys, subscribers)):
            done.append(one)
            shown.update(task, completed=len(done))
    renewed = sum(one.renewed for one in done)
    print(f"secrets of subscribers: {renewed} encrypted anew, {len(done) - renewed} left as they were")
    if len(done) < len(subscribers):
        print("Stopped; go on with: postback secrets rotate", file=sys.stderr)
        sys.exit(130)
    lost = [one.subscriber for one in done if one.lost]
    for subscriber in lost:
        print(f"subscriber {subscriber} has a secret that no listed key reads: list its key, or rotate it")
    _tell(await rotation.needs(engine, keys, settings), lost=bool(lost))


def _tell(needs: list[rotation.Need], *, lost: bool) -> None:
    for need in needs:
        print(f"an older key is needed for {need.what}: {need.until}")
    if needs or lost:
        print("The older keys may leave secret_key once none of that is left.")
    else:
        print("Nothing needs the older keys: take them out of secret_key, and restart every process.")
