"""Tolerant readers for what carriers send: strict about sense, never about form.

A field of the wrong type reads as absent; only a body without sense, or an id that no index can hold,
raises ``Unreadable``. What is no text of a person has a bound here, for every carrier: a word, a number or a
sentence that goes beyond it is cut and goes on as one that nobody knows. The payload keeps it whole.
"""

import json
import re
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cache, lru_cache
from typing import Any, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from models.events import Unreadable
from receiver import bounds, phone
from receiver.providers import shape

E = TypeVar("E")

LONGEST_ID = 255
#: characters of a status word, a code or a time, none of which has fifty as carriers write them
LONGEST_WORD = 64
#: characters of what a carrier says in sentences
LONGEST_SENTENCE = 1000
#: a carrier's own keys are shorter; longer ones are not worth remembering
_LONGEST_KEY = 64

#: by the extension of a URL; mimetypes would answer differently on every machine
CONTENT_TYPES = {
    "jpg": "image/jpeg", "jpeg": "image/jpeg", "png": "image/png", "gif": "image/gif", "webp": "image/webp",
    "heic": "image/heic", "bmp": "image/bmp",
    "mp3": "audio/mpeg", "wav": "audio/wav", "amr": "audio/amr", "m4a": "audio/mp4", "ogg": "audio/ogg",
    "mp4": "video/mp4", "3gp": "video/3gpp", "3gpp": "video/3gpp", "mpg": "video/mpeg", "mpeg": "video/mpeg",
    "mov": "video/quicktime", "avi": "video/x-msvideo", "wmv": "video/x-ms-wmv", "webm": "video/webm",
    "vcf": "text/vcard", "ics": "text/calendar", "pdf": "application/pdf", "txt": "text/plain",
}  # fmt: skip

# numbers stay the text that they were: an id written as a number may be longer than a float is exact
_DECODER = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str)
_KEY_NOISE = str.maketrans("", "", "-_ ")
_DATE_AND_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d", re.ASCII)
#: ten digits are seconds from 2001 to 2286; three more, with a point or without, are milliseconds
_UNIX = re.compile(r"([1-9]\d{9})(?:\.?(\d{3})\d*|\.\d+)?", re.ASCII)
_DIALLED = re.compile(r"\+?[\d\s().\-/]{1,40}", re.ASCII)


def document(body: bytes) -> Any:
    """The JSON in *body*, numbers as text, whatever its content type said. Raises ``Unreadable``, where
    *body* holds more than may be read as well."""
    shape.check_json(body)
    # a stray Latin-1 byte in a description must not cost the report around it
    decoded = body.decode(json.detect_encoding(body), "replace").strip()
    if not decoded:
        raise Unreadable("the body is empty")
    if decoded.startswith("<"):
        raise Unreadable("the body is XML; ask the carrier for JSON callbacks")
    try:
        found, end = _DECODER.raw_decode(decoded)
        if end < len(decoded):
            raise json.JSONDecodeError("Extra data", decoded, end)
    except json.JSONDecodeError as error:
        raise Unreadable(f"the body is not JSON: {error}") from None
    except RecursionError:
        raise Unreadable("the body is JSON nested too deep") from None
    shape.check_nesting(found, body)
    return found


def each(body: bytes, read: Callable[[dict[str, Any]], E]) -> list[E]:
    """What *read* makes of the object in *body*, or of every object of the array there.

    One bad object does not cost the others. Raises ``Unreadable`` when none of them can be read.
    """
    return each_of(document(body), read)


def each_of(found: Any, read: Callable[[dict[str, Any]], E]) -> list[E]:
    """What *read* makes of the object *found*, or of every object of the array that it is; as `each`."""
    items = found if isinstance(found, list) else [found]
    shape.check_events(len(items))
    made: list[E] = []
    reason = Unreadable("the body is an empty JSON array")
    for item in items:
        try:
            made.append(read(keyed(item)))
        except Unreadable as error:
            reason = error
    if not made:
        raise reason
    return made


def keyed(value: Any) -> dict[str, Any]:
    """The object *value* with its keys in lower case, without hyphens, underscores and blanks."""
    if not isinstance(value, dict):
        raise Unreadable("the body is JSON, but neither an object nor an array of objects")
    fields: dict[str, Any] = {}
    for key, item in value.items():
        if item is not None:
            fields.setdefault(folded(key), item)
    return fields


def folded(key: str) -> str:
    """*key* as `keyed` writes it."""
    return _remembered(key) if len(key) <= _LONGEST_KEY else _folded(key)


def _folded(key: str) -> str:
    return key.translate(_KEY_NOISE).lower()


_remembered = lru_cache(maxsize=4096)(_folded)


def inner(value: Any) -> dict[str, Any]:
    """The object *value* as `keyed` has it, an empty one for anything else."""
    return keyed(value) if isinstance(value, dict) else {}


def text(value: Any) -> str | None:
    """Text as it came, but for what Postgres cannot hold: NUL goes, a lone surrogate becomes ``?``."""
    if not isinstance(value, str):
        return None
    kept = _storable(value)
    return None if kept.isspace() else kept or None


def message_text(*values: Any) -> str | None:
    """What a person wrote, kept as `text` keeps it: the first of *values* with more than blanks in it, else
    the first with blanks alone, because people send those too."""
    kept = [found for value in values if isinstance(value, str) and (found := _storable(value))]
    return next((found for found in kept if not found.isspace()), next(iter(kept), None))


def _storable(value: str) -> str:
    if value.isprintable():  # neither NUL nor a surrogate is
        return value
    return value.replace("\0", "").encode("utf-8", "replace").decode()


def stripped(value: Any) -> str | None:
    """Text of any length without the blanks around it: for what is bounded elsewhere, or is a file."""
    kept = text(value)
    return kept and kept.strip()


def word(value: Any, longest: int = LONGEST_WORD) -> str | None:
    """A word or a code without the blanks around it, in at most *longest* characters."""
    kept = stripped(value)
    return kept and bounds.shortened(kept, longest)


def sentence(value: Any) -> str | None:
    """What a carrier says in words: its first `LONGEST_SENTENCE` characters, and how many follow."""
    kept = text(value)
    return kept and bounds.cut(kept, LONGEST_SENTENCE)


def identifier(value: Any, name: str) -> str | None:
    """An id under which something is found again. Raises ``Unreadable`` when no index could hold it."""
    found = stripped(value)
    if found and len(found) > LONGEST_ID:
        raise Unreadable(f"the {name} is {len(found)} characters long; at most {LONGEST_ID} can be kept")
    return found


def number(value: Any) -> str | None:
    """A number that its carrier writes with the country code, with or without ``+``."""
    found = word(value, LONGEST_ID)
    return found and phone.international(found)


def national(value: Any, region: str) -> str | None:
    """A number that its carrier writes as they do in *region*, or with the country code."""
    found = word(value, LONGEST_ID)
    if found is None or not _DIALLED.fullmatch(found):
        return found  # a name: of its letters, phonenumbers would make digits
    try:
        return phone.parse(found, region)
    except phone.InvalidNumber:
        return found


def listed(value: Any, key: str) -> list[str]:
    """Every text in *value*, of any length, in its order: a text, an object's *key*, or arrays of such."""
    found: list[str] = []
    waiting = deque([value])
    while waiting:
        item = waiting.popleft()
        if isinstance(item, list):
            waiting.extendleft(reversed(item))
        elif isinstance(item, dict):
            waiting.appendleft(keyed(item).get(key))
        elif written := stripped(item):
            found.append(written)
    return found


def moment(value: Any, zone: tzinfo | None = UTC) -> datetime | None:
    """An RFC 3339 time in UTC. Without an offset it is taken for one of *zone*; what is no time is None."""
    written = word(value)
    if written is None or not _DATE_AND_TIME.match(written):
        return None
    try:
        read = datetime.fromisoformat(written.upper())
        if read.tzinfo is None:
            if zone is None:
                return None
            read = read.replace(tzinfo=zone)
        return read.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


@cache
def time_zone(name: str) -> tzinfo | None:
    """The zone called *name*; None on a machine without a time zone database, where a local time is
    better left unread than taken for another zone's."""
    try:
        return ZoneInfo(name)
    except ZoneInfoNotFoundError:
        return None


def timestamp(value: Any) -> datetime | None:
    """A time as Unix seconds or milliseconds, or as `moment` reads it."""
    unix = _UNIX.fullmatch(word(value) or "")
    if unix is None:
        return moment(value)
    return datetime.fromtimestamp(int(unix[1]), UTC) + timedelta(milliseconds=int(unix[2] or 0))


def joined(base: str, path: str) -> str:
    """*path* under *base*, with exactly one slash between them."""
    return f"{base.rstrip('/')}/{path.lstrip('/')}"


def extension(url: str) -> str:
    """The extension of the file that *url* names, in lower case, empty if it has none."""
    name = re.split(r"[?#]", url, maxsplit=1)[0].rpartition("/")[2]
    return name.rpartition(".")[2].lower() if "." in name else ""


def content_type(url: str) -> str | None:
    """What the extension of *url* promises."""
    return CONTENT_TYPES.get(extension(url))
