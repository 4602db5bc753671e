"""Values that break readers: what no column takes and no parser expects; trees and bytes spoilt at random.

Everything is drawn from a `random.Random` that the caller has seeded, so that a case can be had again.
"""

import copy
import json
from random import Random
from typing import Any

#: texts that have broken somebody's reader; the last ones are longer than any index or column wants
_TEXTS = (
    "", " ", "\t\r\n", "\0", "a\0b", "\ud800", "x\udfffy", "\udc00\ud800", "\ufeff", "\ufffe\uffff",
    "\U0010ffff", "null", "NaN", "true", "[]", "{}", "-0", "1e999", "0x10", "--",
    "'; DROP TABLE message; --", "%00", "%s%n", "../../../../etc/passwd", "://[", "http://[::1",
    "https://example.com/\0.jpg", "+", "+0", "00", "+1" * 40, "0000-00-00T00:00:00Z",
    "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "99999-01-01T00:00:00Z",
    "2026-02-30T25:61:61Z", "2026-11-21T09:00:01.123456789123Z", "2026-11-21T09:00:01+99:99", "-1",
    "1" * 10, "9999999999", "9999999999999", "99999999999.999", "٣٤٥", "\U0001d7d9\U0001d7da", "ﬀ", "İ",
    "e\u0301", "👩‍👩‍👧‍👦", "\u202etxet", "01920000-0000-7000-8000-00000000c0de",
    "urn:uuid:01920000-0000-7000-8000-00", "{" * 36, "stat:DELIVRD err:000",
    "id:1 sub:001 dlvrd:001 submit date:2611210900 done date:2611210900 stat:DELIVRD err:000 text:x",
)  # fmt: skip
_LONG = ("a", "9", "\U0001f600", "\ud800", "\0", "ä", "[", "&x=", "\n", "://", "%")
_NUMBERS: tuple[Any, ...] = (
    0, -0.0, -1, 1, 2**31, 2**53 + 1, 2**63, -(2**63) - 1, 2**64, int("9" * 4000), 1e308, 5e-324, 0.1 + 0.2,
    float("nan"), float("inf"), float("-inf"), True, False, None,
)  # fmt: skip
_SPLICES = (
    b"\0", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xef\xbb\xbf", b"\\u0000",
    b"\\ud800", b"\\", b'"', b"{", b"}", b"[", b"]", b",", b":", b"&", b"=", b"%", b"%00", b"%zz", b"+",
    b"\r\n", b"--x\r\n", b"NaN", b"-", b"1e99999", b"<", b"<?xml version='1.0'?>", b'"a":1,', b"\x1f\x8b",
)  # fmt: skip

LONGEST = 100_000


def text(rng: Random) -> str:
    """A nasty text: one in fifty is `LONGEST` characters or nearly as long."""
    if rng.random() < 0.02:
        return rng.choice(_LONG) * rng.choice((256, 2_700, 9_000, LONGEST))
    if rng.random() < 0.3:
        return "".join(chr(rng.choice(_PLANES)(rng)) for _ in range(rng.randrange(1, 12)))
    return rng.choice(_TEXTS)


_PLANES = (
    lambda rng: rng.randrange(0x20),
    lambda rng: rng.randrange(0x80),
    lambda rng: rng.randrange(0x80, 0x800),
    lambda rng: rng.randrange(0x800, 0x10000),
    lambda rng: rng.randrange(0x10000, 0x110000),
)


def value(rng: Random, depth: int = 0) -> Any:
    """Anything that JSON can say, and numbers that it cannot."""
    drawn = rng.random()
    if drawn < 0.5 or depth > 4:
        return text(rng)
    if drawn < 0.75:
        return rng.choice(_NUMBERS)
    if drawn < 0.88:
        return [value(rng, depth + 1) for _ in range(rng.randrange(4))]
    return {text(rng): value(rng, depth + 1) for _ in range(rng.randrange(4))}


def spoilt(rng: Random, tree: Any) -> Any:
    """*tree*, a copy of it, with up to four of its places changed."""
    changed = [copy.deepcopy(tree)]  # so that the whole has a place too
    for _ in range(rng.randrange(1, 4)):
        _change(rng, changed)
    return changed[0]


def _change(rng: Random, root: list[Any]) -> None:
    holder: Any = root
    key: Any = 0
    deeper = 0.97  # the whole is seldom spoilt: then nothing of it is read
    while isinstance(holder[key], dict | list) and holder[key] and rng.random() < deeper:
        deeper = 0.85
        holder = holder[key]
        key = rng.choice(list(holder)) if isinstance(holder, dict) else rng.randrange(len(holder))
    drawn = rng.random()
    if drawn < 0.55:
        holder[key] = value(rng)
    elif drawn < 0.65 and holder is not root:
        del holder[key]
    elif drawn < 0.75:
        holder[key] = [holder[key]] * rng.randrange(3)
    elif drawn < 0.85:
        holder[key] = {str(key): holder[key]}
    elif isinstance(holder, dict):
        holder[_renamed(rng, str(key))] = value(rng)
    else:
        holder.append(copy.deepcopy(holder[key]))


def _renamed(rng: Random, key: str) -> str:
    """As another generation of the same interface might spell it."""
    changes = (
        key.upper(),
        key.replace("-", "_"),
        key.replace("_", ""),
        f" {key} ",
        key + "\0",
        key[::-1],
        "",
    )
    return rng.choice(changes)


def written(rng: Random, tree: Any) -> bytes:
    """*tree* as JSON of one of many hands: escaped or not, a key twice, nested without end."""
    said = json.dumps(tree, ensure_ascii=rng.random() < 0.5, indent=rng.choice((None, None, None, 2)))
    drawn = rng.random()
    if drawn < 0.03:
        said = said.replace("{", f'{{"status":{json.dumps(value(rng))},', 1)
    elif drawn < 0.04:
        depth = rng.choice((10, 500, 1_000, 20_000))
        said = "[" * depth + said + "]" * depth
    elif drawn < 0.05:
        said = '{"a":' * rng.choice((10, 900, 5_000)) + said
    elif drawn < 0.06:
        return said.encode(rng.choice(("utf-16", "utf-16-le", "utf-32", "utf-8-sig")), "replace")
    return said.encode("utf-8", "surrogatepass")


def mangled(rng: Random, raw: bytes) -> bytes:
    """*raw* with some of its bytes flipped, left out, doubled, or others spliced in."""
    spoiling = bytearray(raw)
    for _ in range(rng.randrange(1, 6)):
        at = rng.randrange(len(spoiling) + 1)
        drawn = rng.random()
        if drawn < 0.4 and at < len(spoiling):
            spoiling[at] = rng.randrange(256)
        elif drawn < 0.55:
            del spoiling[at : at + rng.randrange(1, 20)]
        elif drawn < 0.9:
            spoiling[at:at] = rng.choice(_SPLICES)
        elif drawn < 0.95:
            spoiling[at:at] = spoiling[at : at + 50]
        else:
            del spoiling[at:]
    return bytes(spoiling)


def form(rng: Random, names: list[str]) -> bytes:
    """A form of *names* and others, its percent-encoding right, half right, or none."""
    pairs = [
        (rng.choice(names) if rng.random() < 0.8 else text(rng), text(rng))
        for _ in range(rng.randrange(1, 8))
    ]
    return b"&".join(_encoded(rng, name) + b"=" + _encoded(rng, said) for name, said in pairs)


def _encoded(rng: Random, said: str) -> bytes:
    raw = said.encode(rng.choice(("utf-8", "utf-8", "utf-8", "utf-16-be", "utf-7")), "surrogatepass")
    if rng.random() < 0.1:
        return raw
    return b"".join(b"%%%02X" % byte if byte not in _SAFE else bytes((byte,)) for byte in raw)


_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~[]")
