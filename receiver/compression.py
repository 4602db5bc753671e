"""Compressed bodies, unpacked for reading; what is kept is always the body as it came."""

import zlib
from dataclasses import replace

from models.events import Request, Unreadable


def decompressed(request: Request, cap: int) -> Request:
    """*request* with a compressed body unpacked, to *cap* bytes at most. Raises ``Unreadable``."""
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding in ("", "identity"):
        return request
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise Unreadable(f"the content encoding {encoding[:40]!r} is not known")
    try:
        body = _unpacked(request.body, zlib.MAX_WBITS | 32, cap)
    except zlib.error:
        try:
            # by "deflate" some mean a bare stream, without the zlib header that RFC 9110 asks for
            body = _unpacked(request.body, -zlib.MAX_WBITS, cap)
        except zlib.error as error:
            raise Unreadable(f"the compressed body cannot be unpacked: {error}") from None
    return replace(request, body=body)


def _unpacked(body: bytes, wbits: int, cap: int) -> bytes:
    unpacking = zlib.decompressobj(wbits)
    unpacked = unpacking.decompress(body, cap + 1)
    if len(unpacked) > cap:
        raise Unreadable(f"the compressed body unpacks to more than {cap} bytes")
    if not unpacking.eof or unpacking.unused_data:
        raise Unreadable("the compressed body is cut short, or something follows it")
    return unpacked
