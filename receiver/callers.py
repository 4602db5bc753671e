"""Who calls at a carrier's door: the checks that every channel may ask for, and what is kept of a caller.

Credentials never reach a table: of an ``Authorization`` header only a keyed hash is kept, so that a request
refused under a wrong setting can be recognised and replayed once the setting is mended.
"""

import base64
import hmac
import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson
from starlette.types import Scope

from models.events import Request
from receiver.config import ChannelSettings, Network
from receiver.providers.base import Provider
from receiver.secrets import Secrets

_CREDENTIALS = frozenset({"authorization", "proxy-authorization", "x-api-key", "api-key", "appkey"})
_DROPPED = frozenset({"cookie"})
_SECRET_PARAMETER = re.compile(rb"(?i)(^|&)(apikey|api_key|appkey|token|secret|password|key)=[^&]*")


@dataclass(frozen=True, slots=True)
class Caller:
    """A request and the address that it came from, None where the server does not know it."""

    request: Request
    peer: str | None


def authentic(caller: Caller, channel: ChannelSettings, provider: Provider) -> bool:
    """Whether *caller* passes every check that the channel is configured for, beyond its token."""
    given = caller.request.headers.get("authorization", "")
    return (
        (not channel.allow_from or _within(caller.peer, channel.allow_from))
        and (channel.basic is None or _same(_basic(given), channel.basic))
        and (channel.bearer is None or _same(_bearer(given), channel.bearer))
        and provider.authenticate(caller.request, channel)
    )


def peer_of(scope: Scope, headers: Mapping[str, str], trusted: Sequence[Network]) -> str | None:
    """The caller's address: the last one of ``X-Forwarded-For`` that is not a proxy we trust."""
    client = scope.get("client")
    peer: str | None = client[0] if client else None
    if trusted and _within(peer, trusted):
        for hop in reversed(headers.get("x-forwarded-for", "").split(",")):
            if not hop.strip():
                break
            peer = hop.strip()
            if not _within(peer, trusted):
                break
    return peer


def kept_headers(headers: Mapping[str, str], secrets: Secrets) -> str:
    """The headers as JSON, credentials as keyed hashes."""
    kept = {name: value.replace("\0", "") for name, value in headers.items() if name not in _DROPPED}
    for name in _CREDENTIALS & kept.keys():
        kept[name] = f"hmac:{secrets.keyed_hash('credential', kept[name].encode()).hex()}"
    return orjson.dumps(kept).decode()


def kept_query(query: bytes) -> str:
    return _SECRET_PARAMETER.sub(rb"\1\2=***", query).decode("latin-1").replace("\0", "")


def _within(peer: str | None, networks: Sequence[Network]) -> bool:
    try:
        address = ipaddress.ip_address(peer or "")
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return any(address in network for network in networks)


def _basic(given: str) -> str:
    scheme, _, credentials = given.partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(credentials, validate=True).decode("utf-8", "replace")
    except ValueError:
        return ""


def _bearer(given: str) -> str:
    scheme, _, token = given.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode())
