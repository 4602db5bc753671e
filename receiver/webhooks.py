"""The carriers' door: ``/hooks/{channel}/{token}``, raw ASGI because every report passes here.

Read with a cap and a deadline, check the token, let the provider check the rest, parse, store, and only
then acknowledge. What an authentic caller sends is never refused for what is in it: it is kept and shown.
"""

import asyncio
import hmac
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import orjson
import structlog
from starlette.types import Receive, Scope, Send
from uuid_utils.compat import uuid7

from models.events import Event, Request, Unreadable
from receiver.callers import Caller, authentic, kept_headers, kept_query, peer_of
from receiver.commit import Unavailable
from receiver.config import ChannelSettings, Settings
from receiver.ingest import Arrival, Ingest
from receiver.providers.base import Provider
from receiver.rows import PayloadRow
from receiver.secrets import Secrets
from receiver.unverified import UnverifiedStore

log = structlog.get_logger()

PREFIX = "/hooks/"
#: seconds for a whole body; the protocol below has its own deadline for the headers
BODY_DEADLINE = 10.0
RETRY_AFTER = "5"


class _Refused(Exception):
    """An answer other than the carrier's success; *status* is its HTTP status."""

    def __init__(self, status: int, detail: str, **headers: str) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, headers


@dataclass(frozen=True, slots=True)
class _Door:
    channel: ChannelSettings
    provider: Provider
    tokens: tuple[bytes, ...]


class Webhooks:
    """One door per channel."""

    def __init__(
        self,
        settings: Settings,
        providers: Mapping[str, Provider],
        ingest: Ingest,
        secrets: Secrets,
        unverified: UnverifiedStore,
    ) -> None:
        self._ingest, self._secrets, self._unverified = ingest, secrets, unverified
        self._trusted_proxies = tuple(settings.trusted_proxies)
        self._doors = {
            name: _Door(channel, providers[channel.provider], tuple(t.encode() for t in channel.tokens))
            for name, channel in settings.channels.items()
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            status, body = await self._answer(scope, receive)
            headers: dict[str, str] = {}
        except _Refused as refused:
            status, headers = refused.status, refused.headers
            body = orjson.dumps({"status": "error", "detail": refused.detail})
        await _respond(send, status, body if scope["method"] != "HEAD" else b"", headers)

    async def _answer(self, scope: Scope, receive: Receive) -> tuple[int, bytes]:
        door = self._find(scope["path"])
        if scope["method"] not in ("POST", "GET", "HEAD"):
            raise _Refused(405, "use POST or GET", allow="GET, HEAD, POST")
        headers = _headers(scope)
        body = await _body(headers, receive, door.channel.max_body)
        if not body and not (scope["query_string"] and scope["method"] == "GET"):
            return 200, b'{"status":"ok"}'  # carriers probe the address that they are given
        request = Request(scope["method"], scope["query_string"], headers, body)
        caller = Caller(request, peer_of(scope, headers, self._trusted_proxies))
        if not authentic(caller, door.channel, door.provider):
            await self._keep_unverified(door, caller)
            raise _Refused(401, "the request is not authentic")
        await self._store(door, caller)
        return door.provider.acknowledge()

    def _find(self, path: str) -> _Door:
        name, _, token = path.removeprefix(PREFIX).partition("/")
        door = self._doors.get(name)
        given = token.encode("utf-8", "surrogateescape")
        known = door.tokens if door else ()
        # every comparison is made, and one for an unknown channel too: the time tells nothing
        fits = [hmac.compare_digest(given, candidate) for candidate in known or (b"-",)]
        if door is None or not token or (known and not any(fits)):
            raise _Refused(404, "no such address")
        return door

    async def _store(self, door: _Door, caller: Caller) -> None:
        state, reason, events = _understood(door, caller.request)
        if state == "quarantined":
            log.warning("unreadable", channel=door.channel.name, reason=reason)
        await self._put(Arrival(self._payload(door, caller, state, reason), door.provider.name, events))

    async def _keep_unverified(self, door: _Door, caller: Caller) -> None:
        if not await self._unverified.reserve():
            raise _Refused(503, "too many unverified requests are kept", **{"retry-after": "60"})
        await self._put(
            Arrival(self._payload(door, caller, "unverified", "authentication failed"), door.provider.name)
        )
        log.warning("unverified", channel=door.channel.name, peer=caller.peer)

    async def _put(self, arrival: Arrival) -> None:
        try:
            await self._ingest.put(arrival)
        except Unavailable as error:
            log.error("not stored", channel=arrival.payload.channel, reason=str(error))
            raise _Refused(503, "cannot be stored now", **{"retry-after": RETRY_AFTER}) from None

    def _payload(self, door: _Door, caller: Caller, state: str, reason: str | None) -> PayloadRow:
        request = caller.request
        return PayloadRow(
            id=uuid7(),
            channel=door.channel.name,
            state=state,
            reason=reason,
            method=request.method,
            query=kept_query(request.query),
            headers=kept_headers(request.headers, self._secrets),
            body=request.body,
            peer=caller.peer,
            received_at=datetime.now(UTC),
        )


def _understood(door: _Door, request: Request) -> tuple[str, str | None, list[Event]]:
    """The state and reason under which the payload is kept, and the events that it tells."""
    try:
        return "applied", None, door.provider.parse(_decoded(request, door.channel.max_body), door.channel)
    except Unreadable as error:
        return "quarantined", str(error), []
    except Exception as error:
        log.exception("parser failed", channel=door.channel.name)
        return "quarantined", f"the parser failed: {type(error).__name__}", []


def _decoded(request: Request, cap: int) -> Request:
    """*request* with a compressed body unpacked, to *cap* bytes at most. Raises ``Unreadable``."""
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding in ("", "identity"):
        return request
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise Unreadable(f"the content encoding {encoding!r} is not known")
    unpacking = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    try:
        body = unpacking.decompress(request.body, cap)
    except zlib.error as error:
        raise Unreadable(f"the compressed body cannot be unpacked: {error}") from None
    if unpacking.unconsumed_tail or not unpacking.eof:
        raise Unreadable(f"the compressed body is cut short or unpacks to more than {cap} bytes")
    return Request(request.method, request.query, request.headers, body)


def _headers(scope: Scope) -> dict[str, str]:
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


async def _body(headers: Mapping[str, str], receive: Receive, cap: int) -> bytes:
    too_large = _Refused(413, f"the body is larger than {cap} bytes", connection="close")
    announced = headers.get("content-length", "")
    if announced.isdigit() and int(announced) > cap:
        raise too_large
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_DEADLINE):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise _Refused(400, "the connection was closed in the middle of the request")
                chunk = message.get("body", b"")
                size += len(chunk)
                if size > cap:
                    raise too_large
                chunks.append(chunk)
                if not message.get("more_body"):
                    return b"".join(chunks)
    except TimeoutError:
        raise _Refused(
            408, f"the body did not arrive within {BODY_DEADLINE:.0f} seconds", connection="close"
        ) from None


async def _respond(send: Send, status: int, body: bytes, headers: Mapping[str, str]) -> None:
    raw = [(b"content-type", b"application/json")] if body else []
    raw.append((b"content-length", str(len(body)).encode()))
    raw.extend((name.encode(), value.encode()) for name, value in headers.items())
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})
