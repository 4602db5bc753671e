"""What `postback doctor` looks at on this machine and in the configuration."""

import asyncio
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from urllib.parse import urlsplit

from models.sends import Call
from receiver import masking, sendable
from receiver.config import ChannelSettings, Settings
from receiver.http import AnswerLost, Client, NotSent
from receiver.providers import PROVIDERS

#: bytes free under ``data_dir``
LITTLE_ROOM, NO_ROOM = 1 << 30, 128 << 20
#: seconds for a forced write
SLOW_WRITE = 0.05
#: seconds for our own address to answer
ADDRESS_DEADLINE = 5.0
#: nothing of ours was made before it: a clock that says so is wrong
FIRST_DAY = datetime(2026, 1, 1, tzinfo=UTC)


class Level(Enum):
    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True)
class Finding:
    """*said* is what is so; *remedy* what to do, empty where nothing is to be done."""

    level: Level
    check: str
    said: str
    remedy: str = ""


def ok(check: str, said: str) -> Finding:
    return Finding(Level.OK, check, said)


def warning(check: str, said: str, remedy: str) -> Finding:
    return Finding(Level.WARNING, check, said, remedy)


def failure(check: str, said: str, remedy: str) -> Finding:
    return Finding(Level.FAILURE, check, said, remedy)


def retention(settings: Settings) -> Iterator[Finding]:
    kept = settings.retention
    said = ", ".join(
        f"{kind} {f'{days} days' if days else 'for ever'}" for kind, days in kept.model_dump().items()
    )
    if kept.bodies and (not kept.payloads or kept.payloads > kept.bodies):
        remedy = "requests hold texts too: set [retention] payloads to no more than bodies"
        yield warning("retention", f"{said}: requests outlive the texts", remedy)
    elif not all(kept.model_dump().values()):
        yield warning("retention", said, "what is kept for ever fills the disk one day: give it days")
    else:
        yield ok("retention", said)


def disk(settings: Settings) -> Iterator[Finding]:
    directory = settings.data_dir.resolve()
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        took = _forced_write(directory / f".doctor.{os.getpid()}")
        free = shutil.disk_usage(directory).free
    except OSError as error:
        remedy = "make it writable for this account, or set data_dir"
        yield failure("disk", f"{directory} cannot be written ({error.strerror})", remedy)
        return
    said = f"{size(free)} free at {directory}, a forced write takes {took * 1000:.1f} ms"
    room = "free some: Postgres, the spool and files stop when it is full"
    if free < NO_ROOM:
        yield failure("disk", said, room)
    elif free < LITTLE_ROOM:
        yield warning("disk", said, room)
    elif took > SLOW_WRITE:
        yield warning("disk", said, "every acknowledgement waits for one: use a faster disk")
    else:
        yield ok("disk", said)


def spool(settings: Settings) -> Iterator[Finding]:
    where = settings.data_dir.resolve() / "spool"
    if not settings.spool:
        yield ok("spool", "off: carriers are answered 503 while Postgres is away")
        return
    waiting, oldest, unreadable = 0, None, 0
    for path in sorted(where.glob("*.sqlite")):
        try:
            records, first = _records(path)
        except (sqlite3.Error, OSError):
            unreadable += 1
            continue
        waiting += records
        oldest = min(filter(None, (oldest, first)), default=None)
    damaged = unreadable + sum(1 for _ in (where / "damaged").glob("*.sqlite"))
    if damaged:
        remedy = f"what could be read was saved; keep {where / 'damaged'} until you know what is missing"
        yield failure("spool", f"{damaged} damaged files", remedy)
    if waiting and oldest:
        age = datetime.now(UTC) - oldest
        said = f"{waiting} requests wait, the oldest for {span(age.total_seconds())}"
        remedy = "they are stored when Postgres is back and a receiver runs: see to both, or to why its log "
        yield warning("spool", said, remedy + "says that they are held")
    elif not damaged:
        yield ok("spool", "empty")


async def address(settings: Settings) -> list[Finding]:
    """Whether a receiver answers at ``public_url``, asked from here."""
    if not settings.public_url:
        remedy = "set it to the address at which carriers reach this receiver"
        return [warning("public_url", "not set: carriers cannot call, nor fetch files", remedy)]
    url = f"{settings.public_url.rstrip('/')}/healthz"
    shown = masking.url(url)
    try:
        async with asyncio.timeout(ADDRESS_DEADLINE), Client(connections=1) as client:
            answer = await client.call(Call("GET", url, {}, b""))
    except (NotSent, AnswerLost, TimeoutError) as error:
        said = f"{shown} does not answer ({_words(error, url)})"
        return [failure("public_url", said, "start the receiver; check name, proxy and firewall")]
    if answer.status != 200 or b'"ok"' not in answer.body:
        said = f"{shown} answers {answer.status}, and not as a receiver does"
        return [failure("public_url", said, "point the proxy at this receiver")]
    if urlsplit(url).scheme == "http" and (urlsplit(url).hostname or "") not in ("127.0.0.1", "localhost"):
        remedy = "callbacks and their tokens travel in clear: serve it over https"
        return [warning("public_url", f"{shown} answers, over http", remedy)]
    return [ok("public_url", f"{shown} answers")]


def _words(error: Exception, url: str) -> str:
    return masking.about_url(str(error) or f"{ADDRESS_DEADLINE:.0f} s", url)


def channels(settings: Settings) -> Iterator[Finding]:
    if not settings.channels:
        remedy = "add [channels.NAME] to the configuration; `postback up` makes one to the practice carrier"
        yield warning("channels", "none are configured", remedy)
    for channel in settings.channels.values():
        found = list(_weaknesses(channel))
        for said, remedy in found:
            yield warning(f"channel {channel.name}", said, remedy)
        if not found:
            yield ok(f"channel {channel.name}", channel.provider)


def sending(settings: Settings) -> Iterator[Finding]:
    """Yields the channels that cannot send, with the reasons."""
    silent = [
        (channel.name, reason)
        for channel in settings.channels.values()
        if channel.provider in PROVIDERS
        for reason in sendable.reasons(channel, PROVIDERS[channel.provider])
    ]
    for name, reason in silent:
        yield warning("sending", f"{name} cannot send: {reason}", "set it, unless the channel only receives")
    if settings.channels and not silent:
        yield ok("sending", "every channel has what its carrier asks for")


def clock() -> Iterator[Finding]:
    now = datetime.now(UTC)
    said = f"{now:%Y-%m-%d %H:%M:%S} UTC"
    if now < FIRST_DAY:
        yield failure("clock", said, "it is wrong; ids are made of it: set it, and keep it with NTP")
    else:
        yield ok("clock", said)


LOCAL: tuple[Callable[[Settings], Iterator[Finding]], ...] = (retention, disk, spool, channels, sending)


def _weaknesses(channel: ChannelSettings) -> Iterator[tuple[str, str]]:
    if channel.insecure and not (channel.authenticated or channel.webhook_secret):
        yield "anybody may report: insecure = true", "give it tokens, basic, bearer or allow_from"
    if not channel.numbers:
        yield "no numbers of ours", 'list them in "from", unless the carrier chooses the sender'


def _forced_write(path: Path) -> float:
    """Seconds that a page takes to the disk."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        begun = time.perf_counter()
        os.write(descriptor, bytes(8192))
        os.fsync(descriptor)
        return time.perf_counter() - begun
    finally:
        os.close(descriptor)
        path.unlink()


def _records(path: Path) -> tuple[int, datetime | None]:
    """How many requests wait in a file of the spool, and since when the oldest does."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=1)) as connection:
        count, first = connection.execute("SELECT count(*), min(received_at) FROM record").fetchone()
    return count, datetime.fromtimestamp(first / 1_000_000, UTC) if first is not None else None


def size(count: float) -> str:
    """Bytes for people."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} GB" if count < 1000 else f"{count / 1000:.3g} TB"


def span(seconds: float) -> str:
    """A length of time for people."""
    for unit, length in (("s", 1), ("min", 60), ("h", 3600)):
        if seconds < length * 120:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds / 86400:.0f} days"
