"""Who calls at a carrier's door: the checks that every channel may ask for, and what is kept of a caller.

Credentials never reach a table: of an ``Authorization`` header only a keyed hash is kept, so that a request
refused under a wrong setting can be recognised and replayed once the setting is mended.
"""

import base64
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import orjson
from starlette.types import Scope

from models.events import Request
from receiver import addresses, bounds
from receiver.config import ChannelSettings, Network
from receiver.providers.base import Provider
from receiver.secrets import Secrets

_CREDENTIAL = re.compile(r"authorization|(^|[-_])(api-?key|appkey|key|token|secret|password)([-_]|$)")
_DROPPED = frozenset({"cookie"})
#: proxies repeat the address that was called, and that holds the channel's token
_CALLBACK_URL = re.compile(r"(/hooks/[^/\s]+/)[^\s?#,;]+")
_SECRET_PARAMETER = re.compile(
    rb"(?i)(^|[&;])((?:api|app|access|auth)?[-_]?(?:key|token)|secret|password|passwd|pass|pwd)=[^&;]*"
)
#: proxies between a caller and us that are looked at: one header may name thousands
MOST_HOPS = 20
#: characters of an address, its zone included; whatever else a proxy writes is kept no longer
LONGEST_PEER = 64


@dataclass(frozen=True, slots=True)
class Caller:
    """A request and the address that it came from, None where the server does not know it."""

    request: Request
    peer: str | None


def authentic(caller: Caller, channel: ChannelSettings, provider: Provider) -> bool:
    """Whether *caller* passes every check that the channel is configured for, beyond its token."""
    return admitted(caller, channel) and provider.authenticate(caller.request, channel)


def admitted(caller: Caller, channel: ChannelSettings) -> bool:
    """Whether *caller* passes the checks that need no body: where it calls from, Basic and Bearer."""
    return (
        (not channel.allow_from or _within(caller.peer, channel.allow_from))
        and (not channel.basic or _among(_basic(_given(caller.request)), channel.basic))
        and (not channel.bearer or _among(_credentials(_given(caller.request), b"bearer"), channel.bearer))
    )


def peer_of(scope: Scope, headers: Mapping[str, str], trusted: Sequence[Network]) -> str | None:
    """The caller's address: the last one of ``X-Forwarded-For`` that is not a proxy we trust, or the first of
    `MOST_HOPS` where we trust them all."""
    client = scope.get("client")
    peer: str | None = client[0] if client else None
    if trusted and _within(peer, trusted):
        hops = headers.get("x-forwarded-for", "").rsplit(",", MOST_HOPS)[-MOST_HOPS:]
        for hop in reversed(hops):
            if not hop.strip():
                break
            peer = bounds.shortened(_without_port(hop.strip()), LONGEST_PEER)
            if not _within(peer, trusted):
                break
    return peer


def base_of(scope: Scope, headers: Mapping[str, str], trusted: Sequence[Network]) -> str:
    """Returns the address by which a caller reaches us, by the word of a proxy that we trust: ``Host`` and
    ``X-Forwarded-Proto``. Empty for everybody else, who could name any address as ours."""
    client = scope.get("client")
    if not _within(client[0] if client else None, trusted):
        return ""
    scheme = headers.get("x-forwarded-proto", scope.get("scheme", "http")).rpartition(",")[2].strip().lower()
    host = headers.get("host", "")
    return f"{scheme}://{host}" if host and scheme in ("http", "https") else ""


def kept_headers(headers: Mapping[str, str], secrets: Secrets) -> str:
    """The headers as JSON, credentials as keyed hashes."""
    kept = {}
    for name, value in headers.items():
        if _is_credential(name):
            kept[name] = f"hmac:{secrets.keyed_hash('credential', value.encode()).hex()}"
        elif name not in _DROPPED:
            readable = value.replace("\0", "")
            kept[name] = _CALLBACK_URL.sub(r"\1***", readable) if "/hooks/" in readable else readable
    return orjson.dumps(kept).decode()


def kept_query(query: bytes) -> str:
    if not query:
        return ""
    return _SECRET_PARAMETER.sub(rb"\1\2=***", query).decode("latin-1").replace("\0", "")


# carriers send the same few headers again and again; a name is no longer than all headers may be
@lru_cache(maxsize=512)
def _is_credential(name: str) -> bool:
    return _CREDENTIAL.search(name) is not None


def _given(request: Request) -> bytes:
    # HTTP libraries write a header's bytes as Latin-1, whatever they were
    return request.headers.get("authorization", "").encode("latin-1", "replace")


def _without_port(hop: str) -> str:
    """Some proxies write the caller's port as well: 192.0.2.1:40312, [2001:db8::1]:40312."""
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop


def _within(peer: str | None, networks: Sequence[Network]) -> bool:
    address = addresses.of_peer(peer)
    return address is not None and any(address in network for network in networks)


def _basic(given: bytes) -> bytes:
    try:
        return base64.b64decode(_credentials(given, b"basic"), validate=True)
    except ValueError:
        return b""


def _credentials(given: bytes, expected_scheme: bytes) -> bytes:
    scheme, _, credentials = given.partition(b" ")
    return credentials.strip() if scheme.lower() == expected_scheme else b""


def _among(given: bytes, expected: Sequence[str]) -> bool:
    # all are compared, so that the time does not tell which one it was; an empty one would let in whoever
    # sends nothing
    same = [hmac.compare_digest(given, one.encode()) and bool(one) for one in expected]
    return any(same)
