"""Refuses what a web page or a stranger on this machine could send to the practice carriers.

A web page reaches a loopback address in two ways: by a name of its own that resolves to 127.0.0.1 (DNS
rebinding: the ``Host`` is foreign), and by posting a form or plain text across origins (there is an
``Origin``, and the body is not declared as JSON). Other accounts of the machine connect as we do; they lack
the key.
"""

import hmac
import re
from collections.abc import Collection
from ipaddress import ip_address

import orjson
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from simulator import files

KEY_HEADER = "X-Practice-Key"
CONTROL = "/practice/"
#: characters of a ``Host`` that are looked at: a name has 253, a port 5
LONGEST_HOST = 260
_HOST = re.compile(r"(?a)(\[[0-9A-Fa-f:.]+\]|[\w.-]+)(?::\d{1,5})?")


class Problem(Exception):
    """A request that cannot be done as it stands; *pointer* names the field."""

    def __init__(self, pointer: str, detail: str, status: int = 422) -> None:
        super().__init__(detail)
        self.pointer, self.detail, self.status = pointer, detail, status


def problem(request: Request, error: Exception) -> Response:
    """Returns a ``Problem`` as application/problem+json (RFC 9457)."""
    if not isinstance(error, Problem):
        raise error
    body = {
        "type": "about:blank",
        "title": "The practice carrier cannot do this",
        "status": error.status,
        "detail": error.detail,
        "errors": [{"pointer": error.pointer, "detail": error.detail}],
    }
    headers = {"WWW-Authenticate": KEY_HEADER} if error.status == 401 else None
    return Response(orjson.dumps(body), error.status, headers, media_type="application/problem+json")


class Door:
    """ASGI middleware in front of all routes; nothing of a body is read before it has let a request in.

    Every route takes requests to a loopback name or address, or to one of *hosts*, and none with an
    ``Origin``. Control routes also need *key*, and take JSON only. Files need no key: customers fetch them as
    from a carrier, by names that cannot be guessed.
    """

    def __init__(self, app: ASGIApp, key: str, hosts: Collection[str] = ()) -> None:
        self._app, self._key = app, key.encode()
        self._hosts = frozenset(host.lower() for host in hosts) | {"localhost"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._app
        if scope["type"] == "http":
            request = Request(scope)
            try:
                self._check(request)
            except Problem as refused:
                app = problem(request, refused)
        await app(scope, receive, send)

    def _check(self, request: Request) -> None:
        """Raises ``Problem``."""
        headers, path = request.headers, request.scope["path"]
        if not self._is_ours(headers.getlist("host")):
            raise Problem("", "the Host must be this machine's loopback name or address", 421)
        if "origin" in headers:
            raise Problem("", "requests of web pages are refused: there is an Origin header", 403)
        if not path.startswith(CONTROL) or path.startswith(f"{files.PATH}/"):
            return
        given = headers.get(KEY_HEADER, "").encode("latin-1", "replace")
        if not hmac.compare_digest(given, self._key):
            raise Problem("", f"send the header {KEY_HEADER} with what `postback practice-key` prints", 401)
        if _has_body(request.method, headers) and _media_type(headers) != "application/json":
            raise Problem("", "the body must be JSON, with Content-Type: application/json", 415)

    def _is_ours(self, given: list[str]) -> bool:
        """Returns whether a request's only ``Host`` names this machine, with any port."""
        if len(given) != 1 or len(given[0]) > LONGEST_HOST:
            return False
        found = _HOST.fullmatch(given[0])
        name = found[1].strip("[]").lower() if found else ""
        if name in self._hosts:
            return True
        try:
            return ip_address(name).is_loopback
        except ValueError:
            return False


def _has_body(method: str, headers: Headers) -> bool:
    return method == "POST" or "transfer-encoding" in headers or headers.get("content-length", "0") != "0"


def _media_type(headers: Headers) -> str:
    return headers.get("content-type", "").partition(";")[0].strip().lower()
