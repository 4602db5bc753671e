"""Compressed bodies, unpacked for reading; what is kept is always the body as it came."""

import zlib
from dataclasses import replace

from models.events import Request, Unreadable

#: how often its own size a body may unpack to: a thousand reports that differ in their ids alone reach nine
MOST_TIMES = 100
#: bytes to which any body may unpack
SMALL = 64 * 1024


def decompressed(request: Request, cap: int) -> Request:
    """*request* with a compressed body unpacked, to *cap* bytes and `MOST_TIMES` its size at most. Raises
    ``Unreadable``."""
    encoding = request.headers.get("content-encoding", "identity")
    return replace(request, body=unpacked(request.body, encoding, cap)) if _is_named(encoding) else request


def unpacked(body: bytes, encoding: str, cap: int) -> bytes:
    """Returns *body* without its *encoding*, a ``Content-Encoding``: *cap* bytes and `MOST_TIMES` its size at
    most. Never makes more than that of it. Raises ``Unreadable``."""
    if not _is_named(encoding):
        return body
    name = encoding.strip().lower()
    if name not in ("gzip", "x-gzip", "deflate"):
        raise Unreadable(f"the content encoding {name[:40]!r} is not known")
    try:
        return _inflated(body, zlib.MAX_WBITS | 32, cap)
    except zlib.error:
        try:
            # by "deflate" some mean a bare stream, without the zlib header that RFC 9110 asks for
            return _inflated(body, -zlib.MAX_WBITS, cap)
        except zlib.error as error:
            raise Unreadable(f"the compressed body cannot be unpacked: {error}") from None


def _is_named(encoding: str) -> bool:
    return encoding.strip().lower() not in ("", "identity")


def _inflated(body: bytes, wbits: int, cap: int) -> bytes:
    most = min(cap, max(SMALL, MOST_TIMES * len(body)))
    inflating = zlib.decompressobj(wbits)
    inflated = inflating.decompress(body, most + 1)
    if len(inflated) > most:
        times = "" if most == cap else f", {MOST_TIMES} times its size"
        raise Unreadable(f"the compressed body unpacks to more than {most} bytes{times}")
    if not inflating.eof or inflating.unused_data:
        raise Unreadable("the compressed body is cut short, or something follows it")
    return inflated
