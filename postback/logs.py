"""Logs: one JSON object a line on standard error, or readable lines where a person looks on.

What is logged is chosen where it is logged: ids, channels, kinds of errors, never a text, a whole number or a
credential. Whatever slips through is masked here, in what libraries log as well.
"""

import base64
import logging
import os
import re
import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice
from typing import Any
from urllib.parse import quote

import structlog
from structlog.typing import EventDict, WrappedLogger

from receiver import bounds, db, masking
from receiver.config import ChannelSettings, Settings

#: a shorter credential would blot out half of every line
_SHORTEST_SECRET = 4
_SECRET_KEYS = re.compile(r"(?i)key|token|secret|password|plan_id")
#: what is quoted may be somebody's words; a plain name in double quotes is Postgres's for a table or a type,
#: and Python's for a parameter where it says so
_QUOTED = re.compile(r"(?<!\w)(?<!keyword argument )b?'[^'\n]*'?|\"(?![a-z_]\w*\")[^\"\n]*\"?")
#: keys whose values are other people's sentences
_SENTENCES = ("reason", "error")
#: of one line: characters in all, values in a list or an object, such in such
_LONGEST_LINE, _MOST_VALUES, _DEEPEST = 16_000, 50, 4
#: of one exception: those that it came of, or was made of, and the places that each went through
_MOST_ERRORS, _MOST_PLACES = 10, 40

#: of a URL behind its scheme
_PASSWORD = re.compile(r"[^:/?]*:([^?]+)@")

_secrets: set[str] = set()
_known = re.compile(r"(?!)")


def configure() -> None:
    """For this process."""
    readable = sys.stderr.isatty() or os.environ.get("POSTBACK_LOGS") == "readable"
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.ExceptionRenderer(_told),
            redact,
            structlog.dev.ConsoleRenderer(colors=False) if readable else structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=logging.WARNING, handlers=[_Forwarding()], force=True)
    logging.captureWarnings(True)


def hide(settings: Settings) -> None:
    """From now on no credential of *settings* is written, whoever logs it."""
    global _known
    _secrets.update(secret for secret in credentials(settings) if len(secret) >= _SHORTEST_SECRET)
    longest_first = sorted(_secrets, key=len, reverse=True)
    _known = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")


def redact(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """The last look at a line; `level` and `timestamp` are ours. Whatever was given, a line takes little time
    and little room: what is left out of it is named."""
    room = _Room()
    return {
        name: value
        if name in ("level", "timestamp", "exception")
        else _without_words(name, _redacted(value, room))
        for name, value in event.items()
    }


class _Room:
    """The characters that a line has left."""

    def __init__(self) -> None:
        self.left = _LONGEST_LINE

    def spend(self, text: str) -> str:
        """Returns as much of *text* as has room."""
        shown = bounds.cut(text, max(self.left, 0))
        self.left -= len(shown) + 1
        return shown


def _without_words(name: str, value: Any) -> Any:
    return _QUOTED.sub("•••", value) if name in _SENTENCES and isinstance(value, str) else value


def _redacted(value: Any, room: _Room, depth: int = 0) -> Any:
    if value is None or isinstance(value, bool | int | float):
        room.left -= 1
        return value
    if isinstance(value, dict | list | tuple | set | frozenset):
        return _redacted_values(value, room, depth)
    if isinstance(value, BaseException):
        return room.spend(_said(value))
    return room.spend(_masked(str(value)))


def _redacted_values(values: Any, room: _Room, depth: int) -> Any:
    most = _MOST_VALUES if depth < _DEEPEST and room.left > 0 else 0
    shown = list(islice(values.items() if isinstance(values, dict) else values, most))
    rest = f"… ({len(values) - len(shown)} more)" if len(values) > len(shown) else ""
    if isinstance(values, dict):
        kept = {str(_redacted(str(name), room)): _redacted(item, room, depth + 1) for name, item in shown}
        return kept | {"…": rest} if rest else kept
    return [*(_redacted(item, room, depth + 1) for item in shown), *filter(None, [rest])]


def _masked(text: str) -> str:
    return masking.text(text, _known)


class _Forwarding(logging.Handler):
    """What libraries log goes the way of our own lines. Of several lines the first: the rest are reprs."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            words = record.getMessage().strip().partition("\n")[0]
        except (TypeError, ValueError):
            words = str(record.msg)
        structlog.get_logger().log(
            record.levelno, words, logger=record.name, exc_info=record.exc_info or None
        )


def _told(exc_info: Any) -> str:
    """An exception as its places and kinds, the last one first: without source lines, values and notes."""
    lines: list[str] = []
    error: BaseException | None = exc_info[1]
    seen: set[int] = set()
    while error is not None and id(error) not in seen and len(seen) < _MOST_ERRORS:
        seen.add(id(error))
        lines.append(_said(error))
        lines += [f"  {place.filename}:{place.lineno} {place.name}" for place in _places(error)]
        if isinstance(error, BaseExceptionGroup):
            lines += [f"  | {_said(inner)}" for inner in error.exceptions[:_MOST_ERRORS]]
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "\n".join(lines)


def _places(error: BaseException) -> Iterable[traceback.FrameSummary]:
    return traceback.extract_tb(error.__traceback__, limit=-_MOST_PLACES)[::-1]


def _said(error: BaseException) -> str:
    """Its kind and the first line of its words, less whatever those quote. What is said of the database's
    address quotes nobody, and is of no use without its words."""
    words = _masked(str(error).partition("\n")[0])
    if not isinstance(error, db.DatabaseError):
        words = _without_arguments(_QUOTED.sub("•••", words))
    return ": ".join(filter(None, [type(error).__name__, words]))


def _without_arguments(words: str) -> str:
    """Returns the line *words* without what stands in brackets: there exceptions print their arguments."""
    for opening, closing in ("()", "[]", "{}"):
        first, last = words.find(opening), words.rfind(closing)
        if 0 <= first < last:
            words = f"{words[:first]}•••{words[last + 1 :]}"
    return words


def credentials(settings: Settings) -> Iterator[str]:
    """Yields every secret of *settings*, also as URLs and headers write it."""
    yield from (*settings.secret_key, *settings.opt_out_keys)
    for url in filter(None, (settings.database_url, settings.listen_url)):
        yield from _of_database(url)
    for url in (settings.media_store, settings.public_url):
        yield from masking.secrets_of_url(url)
    for channel in settings.channels.values():
        for secret in _of(channel):
            yield from (secret, quote(secret, safe=""), base64.b64encode(secret.encode()).decode())


def _of_database(url: str) -> Iterator[str]:
    """Passwords as the URL writes them and as they are; one that is not understood names none either."""
    if written := _PASSWORD.match(url.partition("://")[2]):
        yield written[1]
    with suppress(db.DatabaseError):
        yield from db.address(url).secrets()


def _of(channel: ChannelSettings) -> Iterator[str]:
    yield from channel.tokens
    yield from filter(None, (*channel.basic, *channel.bearer, *channel.webhook_secret))
    yield from filter(None, (one.partition(":")[2] for one in channel.basic))
    yield from (channel.option(key) for key in channel.extra if _SECRET_KEYS.search(key))
    for key in channel.extra:
        yield from masking.secrets_of_url(channel.option(key)) if "url" in key else ()
