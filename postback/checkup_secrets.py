"""Findings of `postback doctor` about secrets in the configuration: who may read them, who knows them."""

import tomllib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from postback import logs
from postback.checkup import Finding, failure, ok, warning
from receiver import config, secrets
from receiver.config import SHORTEST, ConfigError, Settings

#: tokens in the documents and examples; tests/test_docs.py holds them against this list
SAMPLES = frozenset({"a-long-random-string", "a-token-to-practise-with", "another-token-to-practise-with"})


def file(settings: Settings) -> Iterator[Finding]:
    """Whether others on this machine can read credentials in the configuration file."""
    path = config.file().absolute()
    if not path.exists():
        return
    if not _open_to_others(path):
        yield ok("configuration file", f"{path}, closed to others")
    elif _holds_any(path, logs.credentials(settings)):
        remedy = f'chmod o-r {path}, or write "env:NAME" for what is secret'
        yield failure("configuration file", f"everybody here can read the credentials in {path}", remedy)
    else:
        yield ok("configuration file", f"{path}, open to others, holds no credentials")


def secret_key(settings: Settings) -> Iterator[Finding]:
    """Whether there is one that is long enough, and who may read its file."""
    path = settings.data_dir / secrets.FILE
    if settings.embedded and not settings.secret_key and not path.exists():
        yield ok("secret key", f"made at the first start: {path}")
        return
    try:
        keys = secrets.configured(settings)
        secrets.Secrets(keys)
    except ConfigError as error:
        yield failure("secret key", "none that can be used", str(error))
        return
    mode = path.stat().st_mode & 0o777 if not settings.secret_key else 0o600
    if mode & 0o077:
        yield failure("secret key", f"{path} can be read by others", f"chmod 600 {path}")
    elif any(len(key) < SHORTEST for key in keys):
        remedy = "run: postback secrets rotate, which says when the old one may go"
        yield warning("secret key", f"an old one is shorter than {SHORTEST} characters", remedy)
    else:
        yield ok("secret key", f"{len(keys)} listed" if settings.secret_key else str(path))


def tokens(settings: Settings) -> Iterator[Finding]:
    """Channels whose callback token stands in the documents."""
    for channel in settings.channels.values():
        if SAMPLES.intersection(channel.tokens):
            remedy = "make one with: postback channels token, and give its callback URL to the carrier"
            yield failure(f"channel {channel.name}", "its token is the sample of the documents", remedy)


LOCAL: tuple[Callable[[Settings], Iterator[Finding]], ...] = (file, secret_key, tokens)


def _open_to_others(path: Path) -> bool:
    """Returns whether an account that is neither the owner nor of the group reaches and reads *path*."""
    real = path.resolve()
    try:
        return bool(real.stat().st_mode & 0o004) and all(
            folder.stat().st_mode & 0o001 for folder in real.parents
        )
    except OSError:
        return False


def _holds_any(path: Path, credentials: Iterator[str]) -> bool:
    values: list[str] = []
    with suppress(OSError, ValueError):
        values = list(_texts(tomllib.loads(path.read_text(encoding="utf-8"))))
    return any(credential in value for credential in credentials if credential for value in values)


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)
