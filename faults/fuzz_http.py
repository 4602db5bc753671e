"""How requests are written to the wire: as they should be, and in the ways that they should not."""

import gzip
import zlib
from collections.abc import Callable, Collection, Mapping
from random import Random
from typing import TypeAlias
from urllib.parse import quote_from_bytes

CONTENT_TYPES = (
    "application/json", "application/json; charset=utf-8", "application/json; charset=iso-8859-1",
    "text/plain", "application/x-www-form-urlencoded", "multipart/form-data",
    "multipart/form-data; boundary=x", "text/xml", "a/b;", 'multipart/form-data; boundary="',
    "application/json; charset=nonsense", ";;;",
)  # fmt: skip
#: kind, bytes, the statuses that are right (0: closed without one), and whether the connection is spoilt
Strange: TypeAlias = tuple[str, bytes, Collection[int], bool]
_REFUSALS = (0, 400, 404, 405, 408, 411, 413, 414, 417, 431)


def request(rng: Random, method: str, path: str, headers: Mapping[str, str], body: bytes) -> bytes:
    """HTTP/1.1, its body with its length or, in one case of twenty, in chunks."""
    lines = [
        f"{method} {path} HTTP/1.1",
        "host: 127.0.0.1",
        *(f"{name}: {said}" for name, said in headers.items()),
    ]
    if body and rng.random() < 0.05:
        lines.append("transfer-encoding: chunked")
        return _head(lines) + _chunked(rng, body)
    if body or method == "POST":
        lines.append(f"content-length: {len(body)}")
    return _head(lines) + body


def target(query: bytes) -> bytes:
    """*query* as it may stand in a request's first line, its length within what is taken."""
    return quote_from_bytes(query[:8_000], safe="=&+%;[]-._~").encode()


def compressed(rng: Random, body: bytes, *, honest: bool) -> tuple[str, bytes]:
    """The encoding's name and the bytes; these are not always what the name says, unless *honest*."""
    match rng.randrange(3 if honest else 6):
        case 0 | 1:
            return "gzip", gzip.compress(body, 1, mtime=0)
        case 2:
            return "deflate", zlib.compress(body, 1)
        case 3:
            return "gzip", gzip.compress(body, 1, mtime=0)[: rng.randrange(1, 30)]
        case 4:
            return rng.choice(("br", "zstd", "gzip, gzip", "identity", "")), body
        case _:
            return "gzip", body


def strange(rng: Random, door: str, token: str, success: int) -> Strange:
    """One of `_WAYS`, at random."""
    return rng.choice(_WAYS)(rng, door, token, success)


def _head(lines: list[str]) -> bytes:
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")


def _chunked(rng: Random, body: bytes) -> bytes:
    size = rng.choice((1, 7, 1_000, 100_000)) if len(body) < 2_000 else 1_000
    pieces = (body[at : at + size] for at in range(0, len(body), size))
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def _wrong_token(rng: Random, door: str, token: str, success: int) -> Strange:
    wrong = rng.choice(
        (token[:-1], token + "x", token.upper(), "", "%00", "a/" + token, "%ff%fe", "é".encode().hex())
    )
    path = rng.choice(
        (f"{door}/{wrong}", f"{door}%00/{token}", f"/hooks//{token}", f"{door}x/{token}", "/hooks/")
    )
    return "a wrong address", request(rng, "POST", path, {}, b"{}"), (404,), False


def _wrong_method(rng: Random, door: str, token: str, success: int) -> Strange:
    method = rng.choice(("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"))
    return "another method", request(rng, method, f"{door}/{token}", {}, b""), (405,), False


def _probe(rng: Random, door: str, token: str, success: int) -> Strange:
    method = rng.choice(("GET", "POST"))
    return "a probe", request(rng, method, f"{door}/{token}", {}, b""), (200,), False


def _garbage(rng: Random, door: str, token: str, success: int) -> Strange:
    raw = rng.randbytes(rng.choice((1, 4, 50, 3_000)))
    return "no HTTP", raw + rng.choice((b"", b"\r\n\r\n")), _REFUSALS, True


def _spoilt_head(rng: Random, door: str, token: str, success: int) -> Strange:
    raw = bytearray(request(rng, "POST", f"{door}/{token}", {"content-type": "application/json"}, b'{"a":1}'))
    end = raw.index(b"\r\n\r\n") + 4
    for _ in range(rng.randrange(1, 4)):
        raw[rng.randrange(end)] = rng.randrange(256)
    return "a spoilt head", bytes(raw), (*_REFUSALS, 200, success), True


def _lying_length(rng: Random, door: str, token: str, success: int) -> Strange:
    length = rng.choice(("-1", "1e3", "0x10", "99999999999999999999", "5, 6", " ", "+7", "٣", "2147483648"))
    raw = f"POST {door}/{token} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n".encode()
    return "a lying length", raw + b'{"a":1}', (*_REFUSALS, 200, success), True


def _two_lengths(rng: Random, door: str, token: str, success: int) -> Strange:
    other = rng.choice(("content-length: 9", "transfer-encoding: chunked", "transfer-encoding: gzip"))
    raw = f"POST {door}/{token} HTTP/1.1\r\nhost: x\r\ncontent-length: 7\r\n{other}\r\n\r\n"
    return "two lengths", raw.encode() + b'{"a":1}', (*_REFUSALS, 200, success), True


def _broken_chunks(rng: Random, door: str, token: str, success: int) -> Strange:
    raw = f"POST {door}/{token} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n".encode()
    chunks = rng.choice(
        (b"zz\r\n{}\r\n", b"-1\r\n", b"ffffffffffffffff\r\n{}", b"2\r\n{}{}\r\n0\r\n\r\n", b"2;x=\0\r\n{}")
    )
    return "broken chunks", raw + chunks, (*_REFUSALS, 200, success), True


def _many_headers(rng: Random, door: str, token: str, success: int) -> Strange:
    headers = {f"x-{number}": "v" * 100 for number in range(rng.choice((700, 2_000)))}
    return "too many headers", request(rng, "POST", f"{door}/{token}", headers, b"{}"), (431,), True


def _long_target(rng: Random, door: str, token: str, success: int) -> Strange:
    path = f"{door}/{token}?a={'x' * rng.choice((70_000, 200_000))}"
    return "too long a target", request(rng, "GET", path, {}, b""), (431,), True


def _too_large(rng: Random, door: str, token: str, success: int) -> Strange:
    length = rng.choice((2**31, 2**40, 2**62))
    raw = f"POST {door}/{token} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n"
    return "too large a body", raw.encode() + b"{", (413,), True


def _bomb(rng: Random, door: str, token: str, success: int) -> Strange:
    body = gzip.compress(bytes(rng.choice((1 << 22, 1 << 24))), 6, mtime=0)
    raw = request(rng, "POST", f"{door}/{token}", {"content-encoding": "gzip"}, body)
    return "a compressed bomb", raw, (success,), False


def _odd_headers(rng: Random, door: str, token: str, success: int) -> Strange:
    value = bytes(rng.choice((*range(0x21, 0x7F), *range(0x80, 0x100))) for _ in range(rng.randrange(1, 30)))
    name = rng.choice(_ODD)
    raw = (
        f"POST {door}/{token} HTTP/1.1\r\n".encode() + (b"" if name == "host" else b"host: x\r\n")
        + name.encode() + b": " + value + b"\r\ncontent-length: 7\r\n\r\n" + b'{"a":1}'
    )  # fmt: skip
    return "odd headers", raw, (*_REFUSALS, success), True


_ODD = (
    "x-forwarded-for", "content-type", "authorization", "host", "user-agent", "content-encoding", "cookie",
    "accept-charset", "expect", "x-sinch-webhook-signature",
)  # fmt: skip
_WAYS: tuple[Callable[[Random, str, str, int], Strange], ...] = (
    _wrong_token, _wrong_token, _wrong_method, _probe, _garbage, _garbage, _spoilt_head, _spoilt_head,
    _lying_length, _two_lengths, _broken_chunks, _many_headers, _long_target, _too_large, _bomb, _odd_headers,
    _odd_headers,
)  # fmt: skip
