"""Inbound messages of every provider with a text of any letters, in every charset that its documents allow.

JSON is UTF-8 by its standard, and readers of it know UTF-16 and UTF-32 by their first bytes; forms are UTF-8,
percent-encoded or in parts; an MMS of Swift is a MIME tree, whose parts name their charset; Sinch's binary
messages are base64. docs/fuzz.md has the list.
"""

import json
from base64 import b64encode
from binascii import b2a_qp
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any, TypeAlias
from urllib.parse import quote, quote_plus

JSON_CHARSETS = ("utf-8", "ascii", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le")
#: the name in the part's header, and Python's; the last two are written without a byte order mark
MIME_CHARSETS = {
    "utf-8": "utf-8", "us-ascii": "ascii", "iso-8859-1": "latin-1", "windows-1252": "cp1252",
    "utf-16": "utf-16", "utf-16le": "utf-16-le", "utf-16be": "utf-16-be",
}  # fmt: skip
FORMS = ("urlencoded", "query", "multipart")

_RANGES: Mapping[str, tuple[tuple[int, int], ...]] = {
    "ascii": ((0x20, 0x7F),),
    "latin-1": ((0x20, 0x7F), (0xA0, 0x100)),
    "cp1252": ((0x20, 0x7F), (0xA0, 0x100), (0x2018, 0x201B)),
    "any": (
        (0x20, 0x7F), (0x20, 0x7F), (0x80, 0x250), (0x300, 0x600), (0x900, 0xE00), (0x2000, 0x2070),
        (0x3040, 0x30A0), (0x4E00, 0xA000), (0xE000, 0xFE00), (0xFEFF, 0xFF00), (0xFFF0, 0x10000),
        (0x1F300, 0x1FAF0), (0x10FFF0, 0x110000),
    ),
}  # fmt: skip
_CONTROLS = "\t\n\r" + "".join(map(chr, range(1, 0x20))) + "\x7f\x85\x9f"


@dataclass(frozen=True, slots=True)
class Written:
    """A request that says *text*; *charset* is how it is written, for the count."""

    charset: str
    text: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    query: bytes = b""


_Fields: TypeAlias = dict[str, Any]


def inbound(rng: Random, provider: str, message_id: str) -> Written:
    """A message that *provider* tells of under *message_id*."""
    sender = f"1206555{rng.randrange(10_000):04}"
    return _WRITERS[provider](rng, message_id, sender)


def text(rng: Random, letters: str = "any", *, controls: bool = True) -> str:
    """One to two hundred letters, one text in thirty of five thousand."""
    ranges = _RANGES[letters]
    length = 5_000 if rng.random() < 0.03 else rng.choice((1, 2, 5, 20, 70, 160, 200))
    low, high = rng.choice(ranges)
    written = [chr(rng.randrange(low, high)) for _ in range(length)]
    for _ in range(rng.randrange(8)):
        low, high = rng.choice(ranges)
        written[rng.randrange(length)] = (
            rng.choice(_CONTROLS) if controls and rng.random() < 0.4 else chr(rng.randrange(low, high))
        )
    return "".join(written)


def _json(rng: Random, fields: Callable[[str], _Fields]) -> Written:
    charset, said = rng.choice(JSON_CHARSETS), text(rng)
    body = json.dumps(fields(said), ensure_ascii=charset == "ascii").encode(charset)
    return Written(f"JSON, {charset}", said, body, {"content-type": "application/json; charset=utf-8"})


def _sinch_mms(rng: Random, message_id: str, sender: str) -> Written:
    facts = {
        "origin": "MMS_MO",
        "code": "N401",
        "from": sender,
        "to": "18885551234",
        "tracking-id": message_id,
    }
    return _json(rng, lambda said: {**facts, "message-text": said, "timestamp": "2026-11-21T09:00:00Z"})


def _sinch_sms(rng: Random, message_id: str, sender: str) -> Written:
    facts = {"id": message_id, "from": sender, "to": "18885551234", "received_at": "2026-11-21T09:00:00.123Z"}
    kind = rng.choice(("mo_text", "mo_media", "mo_binary"))
    if kind == "mo_text":
        return _json(rng, lambda said: {**facts, "type": kind, "body": said})
    if kind == "mo_media":
        return _json(rng, lambda said: {**facts, "type": kind, "body": {"message": said, "media": []}})
    said = text(rng, controls=False).replace("\x7f", "")
    said = "".join(letter for letter in said if not 0x80 <= ord(letter) < 0xA0) or "ok"
    body = json.dumps(
        {**facts, "type": kind, "body": b64encode(said.encode()).decode(), "udh": "050003CC0201"}
    )
    return Written("base64, utf-8", said, body.encode())


def _swift(rng: Random, message_id: str, sender: str) -> Written:
    facts = {
        "from": sender,
        "id": message_id,
        "timestamp": "2026-11-21T09:00:00.000000Z",
        "to": "12003004000",
    }
    if rng.random() < 0.5:
        return _json(rng, lambda said: {**facts, "type": "sms", "body": said})
    name, codec = rng.choice(list(MIME_CHARSETS.items()))
    said = text(rng, codec if codec in _RANGES else "any", controls=False)
    # the ends of lines around a part belong to its tree, and blanks alone are its layout
    said = f"{said.strip()}." if not said.strip() else said.strip("\r\n")
    raw, encoding = said.encode(codec), "base64"
    if codec in ("ascii", "utf-8", "latin-1", "cp1252") and rng.random() < 0.5:
        body, encoding = b2a_qp(raw).decode("ascii"), "quoted-printable"
    else:
        body = b64encode(raw).decode()
    part = {
        "body": body, "encoding": encoding, "is_multipart": False, "parts": [],
        "headers": {"Content-Type": f'text/plain; charset="{name}"'},
    }  # fmt: skip
    tree = {"body": "", "encoding": "identity", "headers": {}, "is_multipart": True, "parts": [part]}
    request = json.dumps({**facts, "type": "mms", "data": tree}).encode()
    return Written(f"MIME, {name}, {encoding}", said, request, {"content-type": "application/json"})


def _voicetel(rng: Random, message_id: str, sender: str) -> Written:
    facts = {"from": sender, "to": "12012548000", "referenceId": message_id}
    if rng.random() < 0.4:
        return _json(rng, lambda said: {**facts, "text": said, "deliveryReceipt": False})
    form, said = rng.choice(FORMS), text(rng)
    pairs = {**facts, "text": said, "deliveryReceipt": "false"}
    if form == "multipart":
        boundary = f"b{rng.getrandbits(64):x}"
        parts = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in pairs.items()
        )
        body = ("".join(parts) + f"--{boundary}--\r\n").encode()
        return Written(
            "multipart, utf-8", said, body, {"content-type": f"multipart/form-data; boundary={boundary}"}
        )
    written = "&".join(f"{name}={rng.choice(_PERCENT)(value)}" for name, value in pairs.items()).encode()
    if form == "query":
        return Written("query, utf-8", said, b"", query=written)
    return Written("form, utf-8", said, written, {"content-type": "application/x-www-form-urlencoded"})


_PERCENT: tuple[Callable[[str], str], ...] = (quote_plus, lambda said: quote(said, safe=""))


def _cellcast(rng: Random, message_id: str, sender: str) -> Written:
    facts = {
        "from": "+" + sender,
        "received_at": "2026-11-21 09:00:00",
        "message_id": message_id,
        "type": "SMS",
    }
    return _json(rng, lambda said: {**facts, "body": said})


def _cellcast_v1(rng: Random, message_id: str, sender: str) -> Written:
    facts = {"_id": message_id, "status": "delivered", "type": "receive", "sender": "+" + sender}
    return _json(rng, lambda said: {**facts, "message": said, "receiver": "+61400000001"})


_WRITERS: Mapping[str, Callable[[Random, str, str], Written]] = {
    "sinch_mms": _sinch_mms,
    "sinch_sms": _sinch_sms,
    "swift": _swift,
    "voicetel": _voicetel,
    "cellcast": _cellcast,
    "cellcast_v1": _cellcast_v1,
}
