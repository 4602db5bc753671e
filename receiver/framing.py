"""Whether a request's head leaves one reading of where the request goes and where it ends (RFC 9112).

Where a proxy and the server behind it read a head differently, a stranger's second request travels inside the
first.
"""

import re
from collections.abc import Sequence

#: the versions that are spoken here, as the parser writes them
_VERSIONS = ("1.1", "1.0")
#: a name or an IPv4 address, or an address in brackets, and a port (RFC 9110, 7.2); empty where a URI has no
#: authority
_HOST = re.compile(rb"(?:[\w.~!$&'()*+,;=%-]*|\[[\w.:%-]+\])(?::\d*)?", re.ASCII)
_WITH_BODY = (b"POST", b"PUT", b"PATCH")


def refusal(version: str, method: bytes, headers: Sequence[tuple[bytes, bytes]]) -> bytes | None:
    """Returns the status line's end with which such a request is refused, None where it is taken.

    *headers* have their names in lower case. Their size is bounded by the caller.
    """
    hosts = [value for name, value in headers if name == b"host"]
    if version not in _VERSIONS or not _addressed(version, hosts):
        return b"400 Bad Request"
    return _refusal_of_1_0(method, headers) if version == "1.0" else None


def _addressed(version: str, hosts: Sequence[bytes]) -> bool:
    if len(hosts) != 1:
        return not hosts and version == "1.0"
    return _HOST.fullmatch(hosts[0]) is not None


def _refusal_of_1_0(method: bytes, headers: Sequence[tuple[bytes, bytes]]) -> bytes | None:
    names = {name for name, _ in headers}
    if b"transfer-encoding" in names:  # which HTTP/1.0 does not have: a proxy may not have heeded it
        return b"400 Bad Request"
    # the parser takes such a body for absent; HTTP/1.0 also knew bodies that end with their connection
    return b"411 Length Required" if method in _WITH_BODY and b"content-length" not in names else None
