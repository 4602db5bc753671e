"""The one way out: calls to carriers, and files fetched from addresses that our callers gave.

A call has time-outs, a cap on its answer, and failures that say what they mean for the request. A fetch goes
only where `receiver.addresses` lets it, on every hop.

httpx is imported here and nowhere else in the product, so that its continuation can take its place by one
line (docs/decisions/0004).
"""

import asyncio
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from types import TracebackType
from typing import Self

import httpx

from models.events import Answer, Call
from receiver import addresses
from receiver.addresses import Address, Forbidden, Network

#: seconds from the first to the last byte of a call to a carrier
CALL_DEADLINE = 30.0
CONNECT_DEADLINE = 5.0
#: shorter than any carrier's: a connection that they close while we write to it makes a send uncertain
KEEPALIVE = 4.0
LARGEST_ANSWER = 1 << 20
USER_AGENT = "Postback"
#: seconds for a fetch, redirects included
FETCH_DEADLINE = 30.0
MOST_REDIRECTS = 3
#: of a name with more addresses the rest are not tried
MOST_ADDRESSES = 4


class NotSent(Exception):
    """No connection was made: the carrier never saw the request."""


class AnswerLost(Exception):
    """The request left, wholly or in part, and no whole answer came: nobody here knows what became of it."""


class Unfetchable(Exception):
    """An address that gave no file, or may not be asked for one; the message says why."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file and what its server says it is."""

    content: bytes
    content_type: str | None


class Client:
    """Calls carriers. One per process; keeps connections open between calls."""

    def __init__(self, *, connections: int = 200) -> None:
        self._client = httpx.AsyncClient(
            timeout=httpx.Timeout(CALL_DEADLINE, connect=CONNECT_DEADLINE, pool=CONNECT_DEADLINE),
            limits=httpx.Limits(
                max_connections=connections, max_keepalive_connections=connections, keepalive_expiry=KEEPALIVE
            ),
            headers={"user-agent": USER_AGENT},
            trust_env=False,
            follow_redirects=False,
        )

    async def call(self, call: Call) -> Answer:
        """The carrier's whole answer. Raises ``NotSent`` or ``AnswerLost``."""
        request = self._client.build_request(
            call.method, call.url, headers=dict(call.headers), content=call.body
        )
        try:
            async with asyncio.timeout(CALL_DEADLINE):
                return await self._exchange(request)
        except (
            httpx.ConnectError,
            httpx.ConnectTimeout,
            httpx.PoolTimeout,
            httpx.UnsupportedProtocol,
        ) as error:
            raise NotSent(_said(error)) from error
        except (httpx.HTTPError, TimeoutError) as error:
            raise AnswerLost(_said(error)) from error

    async def _exchange(self, request: httpx.Request) -> Answer:
        response = await self._client.send(request, stream=True)
        try:
            chunks: list[bytes] = []
            size = 0
            async for chunk in response.aiter_bytes():
                size += len(chunk)
                if size > LARGEST_ANSWER:
                    raise AnswerLost(f"the answer is larger than {LARGEST_ANSWER} bytes")
                chunks.append(chunk)
            return Answer(response.status_code, dict(response.headers), b"".join(chunks))
        finally:
            await response.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()


async def fetch(url: str, networks: Sequence[Network], max_bytes: int) -> Fetched:
    """The file at *url*: public and https on 443, or within *networks*.

    Raises ``NotSent`` where no server could be reached, ``Unfetchable`` for everything else.
    """
    try:
        async with asyncio.timeout(FETCH_DEADLINE):
            for _ in range(MOST_REDIRECTS + 1):
                found = await _hop(url, networks, max_bytes)
                if isinstance(found, Fetched):
                    return found
                url = found
    except (Forbidden, httpx.InvalidURL, ValueError) as error:
        raise Unfetchable(_said(error)) from None
    except TimeoutError:
        raise Unfetchable(f"the file did not come within {FETCH_DEADLINE:.0f} s") from None
    raise Unfetchable(f"it redirects more than {MOST_REDIRECTS} times")


async def _hop(url: str, networks: Sequence[Network], max_bytes: int) -> Fetched | str:
    """The file, or where the server sends us for it."""
    target = httpx.URL(url)
    if target.scheme not in ("http", "https") or not target.raw_host:
        raise Unfetchable("it is no http or https URL")
    port = target.port or {"http": 80, "https": 443}[target.scheme]
    if port > 65535:
        raise Unfetchable(f"there is no port {port}")
    found = await _resolved(target.raw_host.decode("ascii"), port)
    addresses.check(target.scheme, port, found, networks)
    failure: Exception | None = None
    for address in found[:MOST_ADDRESSES]:
        try:
            return await _get(target, address, max_bytes)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            if _is_about_tls(error):
                raise Unfetchable(_said(error)) from error
            failure = error
        except httpx.HTTPError as error:
            raise Unfetchable(_said(error)) from error
    raise NotSent(_said(failure) if failure else "the name has no address")


async def _resolved(host: str, port: int) -> list[Address]:
    """Looked up once: what is checked is what is connected to, whatever the name says a moment later."""
    written = addresses.literal(host)
    if written is not None:
        return [written]
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        if error.errno == socket.EAI_NONAME:
            raise Unfetchable(f"there is no host {host!r}") from None
        raise NotSent(_said(error)) from error
    except OSError as error:
        raise NotSent(_said(error)) from error
    known = (addresses.literal(str(sockaddr[0])) for *_, sockaddr in found)
    return [address for address in dict.fromkeys(known) if address is not None]


async def _get(target: httpx.URL, address: Address, max_bytes: int) -> Fetched | str:
    # a client of its own: connections are pooled by address, and here one address may be many hosts
    async with httpx.AsyncClient(
        timeout=httpx.Timeout(FETCH_DEADLINE, connect=CONNECT_DEADLINE),
        verify=_tls(),
        trust_env=False,
        follow_redirects=False,
    ) as client:
        headers = {
            "host": target.netloc.decode("ascii"),
            "user-agent": USER_AGENT,
            "accept-encoding": "identity",  # a small answer must not unpack into a large one
        }
        pinned = target.copy_with(host=str(address), fragment=None)
        hostname = {"sni_hostname": target.raw_host.decode("ascii")}
        async with client.stream("GET", pinned, headers=headers, extensions=hostname) as response:
            if response.has_redirect_location:
                return str(target.join(response.headers["location"]))
            return Fetched(await _content(response, max_bytes), response.headers.get("content-type"))


async def _content(response: httpx.Response, max_bytes: int) -> bytes:
    if response.status_code != httpx.codes.OK:
        raise Unfetchable(f"its server answers with HTTP {response.status_code}")
    if response.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        raise Unfetchable("its server sends it compressed, unasked")
    chunks: list[bytes] = []
    size = 0
    async for chunk in response.aiter_raw():
        size += len(chunk)
        if size > max_bytes:
            raise Unfetchable(f"it is larger than {max_bytes} bytes")
        chunks.append(chunk)
    return b"".join(chunks)


@cache
def _tls() -> ssl.SSLContext:
    return httpx.create_ssl_context(trust_env=False)


def _is_about_tls(error: BaseException | None) -> bool:
    """A certificate that is wrong today is wrong in an hour; httpx calls it a failure to connect."""
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__ or error.__context__
    return error is not None and not isinstance(error, ssl.SSLEOFError)


def _said(error: Exception) -> str:
    """The kind of failure and its words, without the request: its URL and headers may hold credentials."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
