"""What is asked of whom: URLs, and requests to them."""

import base64
import re
from collections.abc import AsyncIterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import unquote_to_bytes

import httpx

from receiver.http.failures import Hopeless, NotSent, said

USER_AGENT = "Postback"
UNWRITABLE = "the request cannot be written: a header or the address holds what HTTP cannot carry"
#: RFC 9110, 5.6.2 (a method, a header's name) and 5.5 (its value: no control characters, no blanks around)
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(rb"(?:[^\x00-\x20\x7f]+(?:[ \t]+[^\x00-\x20\x7f]+)*)?")
_PORTS = {"http": 80, "https": 443}


@lru_cache(maxsize=1024)
def parsed(url: str) -> httpx.URL:
    """Returns *url* as httpx reads it. Raises ``Hopeless`` unless it is one of http or https."""
    try:
        target = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise Hopeless(said(error)) from None
    if target.scheme not in _PORTS or not target.raw_host:
        raise Hopeless("it is no http or https URL")
    if (target.port or 0) > 65535:
        raise Hopeless(f"there is no port {target.port}")
    return target


def port_of(target: httpx.URL) -> int:
    return target.port or _PORTS[target.scheme]


def host_of(target: httpx.URL) -> str:
    return target.raw_host.decode("ascii")


def origin_of(target: httpx.URL) -> bytes:
    """Returns scheme, host and port: requests to one origin may follow each other on a connection."""
    return b"%s://%s" % (target.raw_scheme, target.netloc)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A request to the server that *target* names. *headers* may hold credentials: never log one."""

    method: str
    target: httpx.URL
    headers: Mapping[str, str]
    body: bytes | AsyncIterable[bytes] = b""

    def to(self, address: str, connect_within: float) -> httpx.Request:
        """Returns the same request for *address*, which TLS and ``Host`` call by the target's name.

        Raises ``NotSent`` for one that HTTP has no form for: a header with a line break, say.
        """
        try:
            request = self._made(address, connect_within)
            names = [request.method.encode(), *(name for name, _ in request.headers.raw)]
        except (ValueError, TypeError, httpx.InvalidURL):
            # not even the cause goes along: its words quote the header
            raise NotSent(UNWRITABLE) from None
        # h11 refuses the same later, when nobody can tell it from a request that is under way
        values = [value for _, value in request.headers.raw]
        if not (all(map(_TOKEN.fullmatch, names)) and all(map(_VALUE.fullmatch, values))):
            raise NotSent(UNWRITABLE)
        return request

    def _made(self, address: str, connect_within: float) -> httpx.Request:
        headers = httpx.Headers(
            {
                "host": self.target.netloc.decode("ascii"),
                "user-agent": USER_AGENT,
                "accept": "*/*",
                "accept-encoding": "identity",  # a small answer must not unpack into a large one
            }
        )
        if self.target.userinfo:
            credentials = base64.b64encode(unquote_to_bytes(self.target.userinfo)).decode()
            headers["authorization"] = f"Basic {credentials}"
        headers.update(self.headers)
        return httpx.Request(
            self.method,
            self.target.copy_with(host=address, userinfo=b"", fragment=None),
            headers=headers,
            content=self.body,
            extensions={
                "sni_hostname": host_of(self.target),
                "timeout": {"connect": connect_within, "read": None, "write": None, "pool": None},
            },
        )
