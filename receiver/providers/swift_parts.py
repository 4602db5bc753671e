"""The MIME tree inside an inbound MMS of Swift API: parts in parts, with headers, a body and its encoding.

https://docs.swiftsmsgateway.com/api/messaging/dlr/ names the fields; of encodings it shows ``identity`` only.
"""

import re
from base64 import b64decode
from binascii import a2b_qp
from collections.abc import Callable, Mapping
from typing import Any

from models.events import MediaPart
from receiver.providers import reading

#: levels of parts in parts, and files in one message; what lies beyond stays in the payload alone
DEEPEST, MOST = 16, 100

Fields = dict[str, Any]

# a contact, an appointment and a page are files, although their types begin with text/
_TEXT_FILES = frozenset(
    f"text/{kind}" for kind in ("vcard", "x-vcard", "directory", "calendar", "x-vcalendar", "html")
)
_LAYOUT = frozenset(["application/smil", "application/smil+xml"])
# not every codec of Python's: some of them take a time that grows with the square of the text
_CHARSETS = frozenset(["iso-8859-1", "windows-1252", "utf-16", "utf-16le", "utf-16be"])
_DECODERS: Mapping[str, Callable[[str], bytes]] = {
    "base64": lambda body: _from_base64("".join(body.split()).rstrip("=")),
    "quoted-printable": lambda body: a2b_qp(body.encode("ascii")),
}


def subject(data: Any) -> str | None:
    """The subject among the headers of the tree *data*."""
    return reading.text(_headers(data).get("subject"))


def contents(data: Any) -> tuple[str | None, tuple[MediaPart, ...]]:
    """The text and the files of the tree *data*, in their order, without the layout."""
    texts: list[str] = []
    files: list[MediaPart] = []
    for leaf in _leaves(data, 0)[:MOST]:
        headers = _headers(leaf)
        said = headers.get("contenttype", "")
        kind = (reading.word(said.partition(";")[0], reading.LONGEST_ID) or "").lower()
        raw, decoded = _decoded(leaf, headers, kind)
        # a part that does not say what it is, is plain text (RFC 2045, 5.2), unless it had to be encoded
        if (kind.startswith("text/") and kind not in _TEXT_FILES) or not (kind or decoded):
            texts.append(_read(raw, _parameter(said, "charset") if decoded else None))
        elif raw and kind not in _LAYOUT:
            name = _name(headers)
            files.append(MediaPart("", kind or reading.content_type(name or ""), raw, name))
    return reading.message_text("\n".join(filter(None, texts))), tuple(files)


def _leaves(part: Any, depth: int) -> list[Fields]:
    """The parts that hold something. The body of a part with others in it counts if those are all empty."""
    if depth > DEEPEST:
        return []
    fields = reading.inner(part)
    below = fields.get("parts")
    leaves = [
        leaf for item in (below if isinstance(below, list) else [below]) for leaf in _leaves(item, depth + 1)
    ]
    return leaves or ([fields] if reading.text(fields.get("body")) else [])


def _headers(part: Any) -> dict[str, str]:
    """Every header of *part* once, by its name in lower case without hyphens."""
    headers = reading.inner(reading.inner(part).get("headers"))
    listed = {name: reading.listed(value, "") for name, value in headers.items()}
    return {name: values[0] for name, values in listed.items() if values}


def _decoded(leaf: Fields, headers: Mapping[str, str], kind: str) -> tuple[bytes, bool]:
    """The bytes of a part, and whether they had been encoded."""
    body = str(leaf["body"])
    encoding = (reading.word(leaf.get("encoding")) or "").lower()
    if not encoding or (encoding == "identity" and kind and not kind.startswith("text/")):
        # JSON holds no bytes: a picture that was left as it came is still in the encoding of its mail
        encoding = headers.get("contenttransferencoding", "").lower()
    try:
        if decode := _DECODERS.get(encoding):
            return decode(body), True
    except ValueError:
        pass  # not what it says it is; kept as it came
    return body.encode("utf-8", "replace"), False


def _from_base64(body: str) -> bytes:
    """Strict, but for line breaks and padding, which mail does as it likes. Raises ``ValueError``."""
    return b64decode(body + "=" * (-len(body) % 4), validate=True)


def _read(raw: bytes, charset: str | None) -> str:
    return raw.decode(charset if charset in _CHARSETS else "utf-8", "replace").strip("\r\n")


def _name(headers: Mapping[str, str]) -> str | None:
    name = (
        _parameter(headers.get("contentdisposition", ""), "filename")
        or _parameter(headers.get("contenttype", ""), "name")
        or headers.get("contentlocation", "")
    )
    return reading.word(re.split(r"[/\\]", name)[-1], reading.LONGEST_ID)


def _parameter(header: str, name: str) -> str:
    """The parameter *name* of a header, in lower case if it is a charset; empty where there is none."""
    found = re.search(rf';\s*{name}\s*=\s*(?:"([^"]*)"|([^;\s]+))', header, re.IGNORECASE)
    value = (found[1] or found[2] or "") if found else ""
    return value.lower() if name == "charset" else value
