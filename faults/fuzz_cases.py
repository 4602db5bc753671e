"""The cases of ``make fuzz``, by number: the same seed and number make the same request for ever."""

import json
import zlib
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from faults import fuzz_http, fuzz_texts, fuzz_values

FIXTURES = Path(__file__).parent.parent / "tests" / "fixtures"
#: the providers, and what each answers a carrier whose request it has kept
SUCCESS = {
    "sinch_mms": 200,
    "sinch_sms": 200,
    "swift": 204,
    "voicetel": 200,
    "cellcast": 200,
    "cellcast_v1": 200,
}
TOKEN = "a-token-for-fuzzing"  # noqa: S105
#: bytes; a channel takes no larger body unless it says so
LARGEST = 1 << 20
#: the header by which a stored payload is found again; it is kept like any other
NUMBER = "x-fuzz"
#: keys, folded, that name an id: most cases get one of their own, or all would be about the same few messages
_IDS = frozenset({"trackingid", "id", "messageid", "batchid", "referenceid", "clientreference",
                  "customstring", "transactionguid", "messagesid"})  # fmt: skip
_FORM_NAMES = ["id", "from", "to", "text", "status", "time", "MediaUrl0", "deliveryReceipt", "type", "data",
               "to[]", "origin", "code", "tracking-id", "message_id", "batch_id", "_id", ""]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Case:
    """One request. *expected* are the statuses it may be answered with, 0 for a closed connection without
    an answer. *alone*: it spoils its connection, or never ends.

    *body* and *query* are what is kept of it when it is answered with its provider's success, None where
    nothing is; *text* is what a person wrote, to come back from the API under `message_id`.
    """

    number: int
    kind: str
    provider: str
    raw: bytes
    expected: frozenset[int]
    body: bytes | None = None
    query: bytes = b""
    text: str | None = None
    alone: bool = False

    @property
    def message_id(self) -> str:
        return f"fuzz-{self.number}"


def case(seed: int, number: int) -> Case:
    """Case *number*; the providers take turns."""
    rng = Random(seed << 40 | number)
    provider = list(SUCCESS)[number % len(SUCCESS)]
    drawn = rng.random()
    kind = next(kind for kind, below in _SHARES.items() if drawn < below)
    if kind == "text":
        written = fuzz_texts.inbound(rng, provider, f"fuzz-{number}")
        return _whole(
            rng, number, written.charset, provider, written.body, written.headers, written.query, written.text
        )
    if kind == "door":
        return _strange(rng, number, provider)
    body = _body(rng, kind, provider, number)
    if kind == "query" and rng.random() < 0.5:
        return _whole(rng, number, kind, provider, b"", query=fuzz_http.target(body))
    return _whole(rng, number, kind, provider, body, {"content-type": rng.choice(fuzz_http.CONTENT_TYPES)})


#: kinds, each with the upper end of its share
_SHARES = {
    "fields": 0.42,
    "bytes": 0.60,
    "json": 0.72,
    "query": 0.80,
    "noise": 0.85,
    "text": 0.95,
    "door": 1.0,
}


def _body(rng: Random, kind: str, provider: str, number: int) -> bytes:
    if kind == "query":
        return fuzz_values.form(rng, _FORM_NAMES)
    if kind == "noise":
        return rng.randbytes(rng.choice((1, 2, 10, 100, 2_000)))
    if kind == "json":
        return fuzz_values.written(rng, fuzz_values.value(rng))
    real = rng.choice(_requests(provider))
    said = _numbered(real, f"fuzz-{number}") if rng.random() < 0.8 else real
    if kind == "fields":
        said = fuzz_values.spoilt(rng, said if not isinstance(said, bytes) else _as_fields(said))
        return fuzz_values.written(
            rng, [said, real] if rng.random() < 0.05 and not isinstance(real, bytes) else said
        )
    return fuzz_values.mangled(rng, said if isinstance(said, bytes) else json.dumps(said).encode())


def _as_fields(raw: bytes) -> dict[str, str]:
    name, _, said = raw.decode("utf-8", "replace").partition("=")
    return {name: said}


def _whole(
    rng: Random,
    number: int,
    kind: str,
    provider: str,
    body: bytes,
    headers: Mapping[str, str] = {},
    query: bytes = b"",
    text: str | None = None,
) -> Case:
    """A request that is HTTP as it should be, whatever is in it; some are compressed, some come in chunks."""
    given = {**headers, NUMBER: str(number)}
    sent = body
    if body and rng.random() < 0.04:
        given["content-encoding"], sent = fuzz_http.compressed(rng, body, honest=text is not None)
    path = f"/hooks/{provider}/{TOKEN}" + (f"?{query.decode()}" if query else "")
    method = "GET" if query and not body else "POST"
    raw = fuzz_http.request(rng, method, path, given, sent)
    if len(sent) > LARGEST or not (sent or query):
        return Case(number, kind, provider, raw, frozenset({413 if sent else 200}), alone=bool(sent))
    return Case(
        number, kind, provider, raw, frozenset({SUCCESS[provider]}), body=sent, query=query, text=text
    )


def _strange(rng: Random, number: int, provider: str) -> Case:
    """A request whose HTTP is wrong, late, too large or meant for another door."""
    kind, raw, expected, alone = fuzz_http.strange(rng, f"/hooks/{provider}", TOKEN, SUCCESS[provider])
    return Case(number, kind, provider, raw, frozenset(expected), alone=alone)


def _numbered(tree: Any, message_id: str) -> Any:
    """*tree* with *message_id* wherever an id stands."""
    if isinstance(tree, dict):
        return {
            key: message_id
            if _folded(key) in _IDS and isinstance(value, str)
            else _numbered(value, message_id)
            for key, value in tree.items()
        }
    return [_numbered(item, message_id) for item in tree] if isinstance(tree, list) else tree


def _folded(key: str) -> str:
    return key.replace("-", "").replace("_", "").lower()


@cache
def _requests(provider: str) -> list[Any]:
    """What the golden fixtures have that carrier send: trees, and bytes where it is not JSON."""
    found = []
    for path in sorted((FIXTURES / provider).glob("*.json")):
        said = json.loads(path.read_text(encoding="utf-8"))
        for one in said if isinstance(said, list) else [said]:
            request = one.get("request", {})
            if "body_base64" in request:
                found.append(b64decode(request["body_base64"]))
            elif request.get("body"):
                found.append(_parsed(request["body"]))
    return found


def _parsed(body: Any) -> Any:
    if not isinstance(body, str):
        return body
    try:
        tree = json.loads(body)
    except ValueError:
        return body.encode("utf-8", "surrogatepass")
    return tree if isinstance(tree, dict | list) else body.encode("utf-8", "surrogatepass")


def checksum(body: bytes, query: bytes) -> int:
    """By which what is kept is compared with what was sent; a million bodies are too many to hold."""
    return zlib.crc32(query, zlib.crc32(body))
