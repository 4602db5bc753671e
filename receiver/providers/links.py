"""Files of a message in whatever shape a carrier may give them: links, lists, objects, bytes in base64."""

import re
from base64 import b64decode
from binascii import Error
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any

from models.events import MediaPart, Unreadable
from receiver.providers import named, reading

#: keys under which a message may have files, as `reading.folded` writes them
NAMES = (
    "media", "mediaurl", "mediaurls", "mms", "mmsurl", "mmsurls", "mmsfile", "mmsfiles", "mmsmedia",
    "attachment", "attachments", "file", "files", "fileurl", "fileurls", "image", "images", "imageurl",
    "imageurls", "picture", "pictures", "photo", "photos", "video", "videos", "videourl", "url", "urls",
    "link", "links", "contenturl",
)  # fmt: skip
_NUMBERED = re.compile(f"(?:{'|'.join(NAMES)})[0-9]{{1,3}}")
#: names of fields in the mark on a message, each of `reading.LONGEST_WORD` characters
MOST_MARKED = 20
#: keys of an object that names a file, best first
_ADDRESSES = (
    "url", "href", "link", "src", "uri", "location", "mediaurl", "fileurl", "imageurl", "downloadurl",
    "contenturl",
)  # fmt: skip
_BYTES = ("base64", "content", "data", "body")
_TYPES = ("contenttype", "mimetype", "mime", "mediatype", "type")
_FILE_NAMES = ("filename", "name", "title")

_LINK = re.compile(r"https?://[^\s<>\"']+", re.IGNORECASE)
#: what may stand between the links of one text
_BETWEEN = re.compile(r"[\s,;|]*")
_DATA = re.compile(r"data:([\w.+/-]*)(?:;[\w=.-]+)*;base64,", re.IGNORECASE)
#: fewer characters of base64 are a word, and no file
_SHORTEST = 64


def found(fields: Mapping[str, Any], own: Mapping[str, Any]) -> tuple[list[MediaPart], list[str]]:
    """Returns the files of a message, and the names of its fields in which something was not understood.

    The channel's *own* names for ``media`` count alone where they bring a file.
    """
    theirs = [value for value in named.own_values(fields, own, "media") if value is not None]
    parts, whole = files(theirs)
    marked = [] if whole else ["media"]
    if parts:
        return parts, marked
    together: dict[tuple[str, bytes | None], MediaPart] = {}
    numbered = sorted(filter(_NUMBERED.fullmatch, fields), key=lambda key: (len(key), key))
    for key in (*NAMES, *numbered):
        if fields.get(key) is not None:
            parts, whole = files(fields[key])
            together |= {(part.url, part.content): part for part in parts}
            marked += [] if whole else [key]
    return list(together.values()), marked


def identity(media: Sequence[MediaPart]) -> list[str]:
    """Returns what tells the files *media* from others: their addresses, or digests of their bytes."""
    return [sha256(part.content).hexdigest() if part.content is not None else part.url for part in media]


def mark(names: Sequence[str]) -> dict[str, Any]:
    """Returns what is added to the metadata of a message whose files stand in fields that are not understood,
    or nowhere."""
    return {"files_not_understood": [reading.word(name) for name in names[:MOST_MARKED]]}


def files(value: Any) -> tuple[list[MediaPart], bool]:
    """Returns the files that *value* names, each address once and in their order, and whether all of it was
    understood: a text that is no link is not."""
    listed: dict[tuple[str, bytes | None], MediaPart] = {}
    understood = True
    waiting = deque([value])
    while waiting:
        item = waiting.popleft()
        if isinstance(item, str) and (inside := _json(item)) is not None:
            item = inside
        if isinstance(item, list):
            waiting.extendleft(reversed(item))
        elif isinstance(item, dict):
            fields = reading.keyed(item)
            parts = list(_described(fields))
            if parts:
                listed |= {(part.url, part.content): part for part in parts}
            elif below := [inner for inner in fields.values() if isinstance(inner, list | dict | str)]:
                waiting.extendleft(reversed(below))
            else:
                understood = False
        elif (parts := list(_in_text(item))) or not reading.stripped(item):
            listed |= {(part.url, part.content): part for part in parts}
        else:
            understood = False
    return list(listed.values()), understood


def alone(text: str | None) -> list[str]:
    """Returns the links of *text* that stand on lines without anything else."""
    lines = (line.strip() for line in (text or "").splitlines())
    return [line for line in lines if _LINK.fullmatch(line)]


def _described(fields: Mapping[str, Any]) -> Iterator[MediaPart]:
    """The file that an object describes, by its address or with its bytes."""
    kind = next(
        (kind for key in _TYPES if (kind := reading.word(fields.get(key), 255)) and "/" in kind), None
    )
    name = next((name for key in _FILE_NAMES if (name := reading.word(fields.get(key), 255))), None)
    for key in _ADDRESSES:
        parts = list(_in_text(fields.get(key)))
        if parts:
            for part in parts:
                yield MediaPart(part.url, kind or part.content_type, part.content, name)
            return
    for key in _BYTES:
        value = reading.stripped(fields.get(key))
        content = _decoded(value) if value and len(value) >= _SHORTEST else None
        if content:
            yield MediaPart("", kind or reading.content_type(name or ""), content, name)
            return


def _in_text(value: Any) -> Iterator[MediaPart]:
    """The files of a text: its bytes as a ``data:`` address, or links with nothing else between them."""
    written = reading.stripped(value) or ""
    if data := _DATA.match(written):
        content = _decoded(written[data.end() :])
        if content:
            yield MediaPart("", data[1] or None, content)
        return
    if _BETWEEN.fullmatch(_LINK.sub("", written)):
        for url in _LINK.findall(written):
            address = url.rstrip(",;|")
            yield MediaPart(address, reading.content_type(address))


def _decoded(written: str) -> bytes | None:
    try:
        return b64decode("".join(written.split()), validate=True)
    except (Error, ValueError):
        return None


def _json(written: str) -> Any:
    """Returns the list or the object that is written out in a text, None where there is none."""
    if written.lstrip()[:1] not in ("[", "{"):
        return None
    try:
        found = reading.document(written.encode("utf-8", "replace"))
    except Unreadable:
        return None
    return found if isinstance(found, list | dict) else None
