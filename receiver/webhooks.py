"""The carriers' door: ``/hooks/{channel}/{token}``, raw ASGI because every report passes here.

Read with a cap and a deadline, check the token, let the provider check the rest, parse, store, and only
then acknowledge. What an authentic caller sends is never refused for what is in it: it is kept and shown.
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from time import perf_counter

import orjson
import structlog
from starlette.types import Receive, Scope, Send

from models.events import Request
from receiver.callers import Caller, admitted, authentic, kept_headers, kept_query, peer_of
from receiver.commit import Unavailable
from receiver.config import ChannelSettings, Settings
from receiver.in_hand import SMALL, Body, Crowded, InHand
from receiver.ingest import Arrival, Ingest
from receiver.metrics.definitions import NO_CHANNEL, acknowledged
from receiver.providers.base import Provider
from receiver.rows import PayloadRow, new_id
from receiver.secrets import Secrets
from receiver.sources import Source, sources
from receiver.understand import aside, place_of, understood
from receiver.unverified import UnverifiedStore
from receiver.unverified_told import UnverifiedTold

log = structlog.get_logger()

PREFIX = "/hooks/"
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
    source: Source
    tokens: tuple[bytes, ...]


def _door(channel: ChannelSettings, provider: Provider, source: Source) -> _Door:
    tokens = tuple(token.encode() for token in channel.tokens)
    return _Door(channel, provider, source, tokens)


class Webhooks:
    """One door per channel."""

    def __init__(
        self,
        settings: Settings,
        providers: Mapping[str, Provider],
        ingest: Ingest,
        secrets: Secrets,
        unverified: UnverifiedStore,
        in_hand: InHand,
    ) -> None:
        self._ingest, self._secrets, self._unverified = ingest, secrets, unverified
        self._told = UnverifiedTold()
        self._in_hand = in_hand
        self._trusted_proxies = tuple(settings.trusted_proxies)
        from_each = sources(settings.channels, providers)
        self._doors = {
            name: _door(channel, providers[channel.provider], from_each[name])
            for name, channel in settings.channels.items()
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = perf_counter()
        try:
            status, body = await self._answer(scope, receive)
            headers: dict[str, str] = {}
        except _Refused as refused:
            status, headers = refused.status, refused.headers
            body = orjson.dumps({"status": "error", "detail": refused.detail})
        await _respond(send, status, body, headers)
        name = scope["path"][len(PREFIX) :].partition("/")[0]
        acknowledged(name if name in self._doors else NO_CHANNEL, status, perf_counter() - begun)

    async def _answer(self, scope: Scope, receive: Receive) -> tuple[int, bytes]:
        door = self._find(scope["path"])
        if scope["method"] not in ("POST", "GET", "HEAD"):
            raise _Refused(405, "use POST or GET", allow="GET, HEAD, POST")
        headers = _headers(scope)
        peer = peer_of(scope, headers, self._trusted_proxies)
        held = self._held(door, headers, peer)
        try:
            return await self._heard(door, scope, receive, headers, peer, held)
        except Crowded:
            detail = "too many bodies are on their way"
            raise _Refused(503, detail, **{"retry-after": RETRY_AFTER}) from None
        finally:
            held.answered()

    def _held(self, door: _Door, headers: Mapping[str, str], peer: str | None) -> Body:
        """Room for the body of a request, by what its caller has shown before it: a signature comes later."""
        channel = door.channel
        bare = Caller(Request("", b"", headers, b""), peer)
        if channel.authenticated and admitted(bare, channel):
            return self._in_hand.of_channel(channel.name, channel.max_body)
        return self._in_hand.of_stranger(peer, channel.max_body)

    async def _heard(
        self,
        door: _Door,
        scope: Scope,
        receive: Receive,
        headers: Mapping[str, str],
        peer: str | None,
        held: Body,
    ) -> tuple[int, bytes]:
        body = await self._body(headers, receive, door.channel.max_body, held)
        asks = scope["method"] == "GET" and scope["query_string"]
        if scope["method"] == "HEAD" or not (body or asks):
            return 200, b'{"status":"ok"}'  # carriers probe the address that they are given
        request = Request(scope["method"], scope["query_string"], headers, body, datetime.now(UTC))
        caller = Caller(request, peer)
        if not self._authentic(door, caller):
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

    async def _body(self, headers: Mapping[str, str], receive: Receive, cap: int, held: Body) -> bytes:
        length = headers.get("content-length", "")
        announced = int(length) if length.isdecimal() and len(length) < 20 else 0
        if announced > cap:
            raise _too_large(cap)
        if announced > SMALL:
            held.announced(announced)
        chunks: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _Refused(400, "the connection was closed in the middle of the request")
            chunk = message.get("body", b"")
            size += len(chunk)
            if size > cap:
                raise _too_large(cap)
            whole = not message.get("more_body")
            held.came(len(chunk), whole=whole)
            chunks.append(chunk)
            if whole:
                return b"".join(chunks)

    async def _store(self, door: _Door, caller: Caller) -> None:
        request = caller.request
        state, reason, events = await aside(request, understood, door.provider, door.channel, request)
        if state == "quarantined":
            log.warning("unreadable", channel=door.channel.name, reason=reason)
        payload = self._payload(door, caller, state, reason)
        await self._put(door, Arrival(payload, door.source, events))

    def _authentic(self, door: _Door, caller: Caller) -> bool:
        try:
            return authentic(caller, door.channel, door.provider)
        except Exception as error:  # noqa: BLE001 - a signature that cannot even be read proves nothing
            self._told.failed(place_of(error))
            return False

    async def _keep_unverified(self, door: _Door, caller: Caller) -> None:
        payload = self._payload(door, caller, "unverified", "authentication failed")
        size = len(payload.body) + len(payload.query) + len(payload.headers)
        kept = await self._unverified.reserve(door.channel.name, caller.peer, size)
        self._told.heard(door.channel.name, caller.peer, kept=kept)
        if not kept:
            raise _Refused(503, "too many unverified requests are kept", **{"retry-after": "60"})
        await self._put(door, Arrival(payload, door.source))

    async def _put(self, door: _Door, arrival: Arrival) -> None:
        try:
            await self._ingest.put(arrival)
        except Unavailable:
            raise _not_stored() from None

    def _payload(self, door: _Door, caller: Caller, state: str, reason: str | None) -> PayloadRow:
        request = caller.request
        return PayloadRow(
            id=new_id(),
            channel=door.channel.name,
            state=state,
            reason=reason,
            method=request.method,
            query=kept_query(request.query),
            headers=kept_headers(request.headers, self._secrets),
            body=request.body,
            peer=caller.peer,
            received_at=request.received_at,
        )


def _headers(scope: Scope) -> dict[str, str]:
    raw = scope["headers"]  # ASGI has their names in lower case
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in raw}
    if len(headers) == len(raw):
        return headers
    several: dict[str, list[str]] = {}
    for name, value in raw:
        several.setdefault(name.decode("latin-1"), []).append(value.decode("latin-1"))
    return {name: ", ".join(values) for name, values in several.items()}


def _too_large(cap: int) -> _Refused:
    return _Refused(413, f"the body is larger than {cap} bytes")


def _not_stored() -> _Refused:
    return _Refused(503, "cannot be stored now", **{"retry-after": RETRY_AFTER})


async def _respond(send: Send, status: int, body: bytes, headers: Mapping[str, str]) -> None:
    raw: list[tuple[bytes, bytes]] = []
    if status != 204:  # which has neither, by RFC 9110
        raw = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    raw.extend((name.encode(), value.encode()) for name, value in headers.items())
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})
