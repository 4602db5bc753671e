"""The one way out: calls to carriers, and files fetched from addresses that our callers gave.

A call has time-outs, a cap on its answer, and failures that say what they mean for the request. A fetch goes
only where `receiver.addresses` lets it, on every hop.

httpx is imported here and nowhere else in the product, so that its continuation can take its place by one
line (docs/decisions/0004).
"""

import asyncio
import random
import socket
import ssl
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from time import monotonic
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
#: bytes of an app's answer to a post that are read
MOST_OF_ANSWER = 2048
_POST_TIMEOUTS = {"connect": CONNECT_DEADLINE, "read": None, "write": None, "pool": None}
#: of a name with more addresses the rest are not tried
MOST_ADDRESSES = 4


class NotSent(Exception):
    """No connection was made: the carrier never saw the request."""


class AnswerLost(Exception):
    """The request left, wholly or in part, and no whole answer came: nobody here knows what became of it."""


class Unfetchable(Exception):
    """An address that gave no file, or may not be asked for one; the message says why."""


class Hopeless(Unfetchable):
    """Asking again would end the same."""


class Gone(Unfetchable):
    """Its server does not have it, or not for us: perhaps not yet, likelier no more."""


#: what a file's server may mean for good; object stores answer 403 when a signed address has expired
_REFUSALS = {401: Gone, 403: Gone, 404: Gone, 410: Hopeless}


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file and what its server says it is."""

    content: bytes
    content_type: str | None


@dataclass(frozen=True, slots=True)
class Posted:
    """An app's answer: its status, ``Retry-After`` as it stands, and the first `MOST_OF_ANSWER` bytes."""

    status: int
    retry_after: str | None
    body: bytes


class Client:
    """Calls carriers. One per process; keeps connections open between calls.

    Each call has an httpx client to itself while it lasts: a pool looks through all its connections at every
    call, and with 64 under way that takes longer than the call.
    """

    def __init__(self, *, connections: int = 200) -> None:
        self._places = asyncio.Semaphore(connections)
        #: by the time of their last use: the last one's connections are the likeliest to be open still
        self._idle: deque[tuple[float, httpx.AsyncClient]] = deque()

    async def call(self, call: Call) -> Answer:
        """The carrier's whole answer. Raises ``NotSent`` or ``AnswerLost``."""
        await self._place()
        client = self._idle.pop()[1] if self._idle else _client()
        try:
            return await self._called(client, call)
        finally:
            self._idle.append((monotonic(), client))
            self._places.release()
            await self._close(until=monotonic() - KEEPALIVE)

    async def _place(self) -> None:
        try:
            async with asyncio.timeout(CONNECT_DEADLINE):
                await self._places.acquire()
        except TimeoutError:
            raise NotSent("too many calls are under way") from None

    async def _close(self, until: float) -> None:
        """Closes the clients that nobody has used since *until*."""
        while self._idle and self._idle[0][0] <= until:
            await self._idle.popleft()[1].aclose()

    async def _called(self, client: httpx.AsyncClient, call: Call) -> Answer:
        request = client.build_request(call.method, call.url, headers=dict(call.headers), content=call.body)
        try:
            async with asyncio.timeout(CALL_DEADLINE):
                return await self._exchange(client, request)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol) as error:
            raise NotSent(_said(error)) from error
        except (httpx.HTTPError, TimeoutError) as error:
            raise AnswerLost(_said(error)) from error

    async def _exchange(self, client: httpx.AsyncClient, request: httpx.Request) -> Answer:
        response = await client.send(request, stream=True)
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
        await self._close(until=monotonic())


def _client() -> httpx.AsyncClient:
    return httpx.AsyncClient(
        timeout=httpx.Timeout(CALL_DEADLINE, connect=CONNECT_DEADLINE),
        limits=httpx.Limits(keepalive_expiry=KEEPALIVE),
        headers={"user-agent": USER_AGENT},
        verify=_tls(),
        trust_env=False,
        follow_redirects=False,
    )


class Poster:
    """Posts to addresses that apps gave: public ones and https on 443, or within *networks*.

    A name is looked up and checked whenever a connection is made; a connection that is open still leads
    where it led. As in `Client`, each post has a connection to itself. Redirects are not followed.
    """

    def __init__(self, networks: Sequence[Network]) -> None:
        self._networks = networks
        #: by scheme, host and port: those used last at the end
        self._idle: dict[bytes, deque[_Line]] = {}

    async def post(self, url: str, headers: Mapping[str, str], body: bytes, deadline: float) -> Posted:
        """What was answered within *deadline* seconds. Raises ``NotSent``, ``AnswerLost`` and
        ``Unfetchable``."""
        target = _parsed(url)
        origin = b"%s://%s" % (target.raw_scheme, target.netloc)
        try:
            async with asyncio.timeout(deadline):
                line = self._kept(origin) or await self._connected(target)
                posted = await _exchanged(line, target, headers, body)
        except (Forbidden, ValueError) as error:
            raise Unfetchable(_said(error)) from None
        except TimeoutError:
            raise AnswerLost(f"no whole answer came within {deadline:.0f} s") from None
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise NotSent(_said(error)) from error
        except httpx.HTTPError as error:
            raise AnswerLost(_said(error)) from error
        self._idle.setdefault(origin, deque()).append(replace(line, used=monotonic()))
        return posted

    def _kept(self, origin: bytes) -> "_Line | None":
        idle = self._idle.get(origin)
        return idle.pop() if idle and idle[-1].used > monotonic() - KEEPALIVE else None

    async def _connected(self, target: httpx.URL) -> "_Line":
        port = target.port or {"http": 80, "https": 443}[target.scheme]
        found = await _resolved(target.raw_host.decode("ascii"), port)
        addresses.check(target.scheme, port, found, self._networks)
        if not found:
            raise NotSent("the name has no address")
        # another try goes to another of them
        limits = httpx.Limits(keepalive_expiry=KEEPALIVE)
        transport = httpx.AsyncHTTPTransport(verify=_tls(), limits=limits, trust_env=False)
        return _Line(transport, str(random.choice(found[:MOST_ADDRESSES])), monotonic())  # noqa: S311

    async def close_idle(self) -> None:
        """Closes connections that nobody has used for a while; to be called now and then."""
        since = monotonic() - KEEPALIVE
        for origin, idle in list(self._idle.items()):
            while idle and idle[0].used <= since:
                await idle.popleft().transport.aclose()
            if not idle:
                del self._idle[origin]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for idle in self._idle.values():
            for line in idle:
                await line.transport.aclose()
        self._idle.clear()


@dataclass(frozen=True, slots=True)
class _Line:
    """A connection, made or to be made, to the one *address* that was checked for it."""

    transport: httpx.AsyncHTTPTransport
    address: str
    used: float


async def _exchanged(line: _Line, target: httpx.URL, headers: Mapping[str, str], body: bytes) -> Posted:
    # the transport by itself: a client's cookies, redirects and authentication are not wanted here
    request = httpx.Request(
        "POST",
        target.copy_with(host=line.address, fragment=None),
        headers={"host": target.netloc.decode("ascii"), "user-agent": USER_AGENT, **headers},
        content=body,
        extensions={"sni_hostname": target.raw_host.decode("ascii"), "timeout": _POST_TIMEOUTS},
    )
    response = await line.transport.handle_async_request(request)
    try:
        start = b""
        async for chunk in response.aiter_raw():
            start += chunk
            if len(start) > MOST_OF_ANSWER:
                break
        return Posted(response.status_code, response.headers.get("retry-after"), start[:MOST_OF_ANSWER])
    finally:
        await response.aclose()


@lru_cache(maxsize=1024)
def _parsed(url: str) -> httpx.URL:
    """Raises ``Unfetchable``."""
    try:
        target = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise Unfetchable(_said(error)) from None
    if target.scheme not in ("http", "https") or not target.raw_host or (target.port or 1) > 65535:
        raise Unfetchable("it is no http or https URL")
    return target


async def fetch(url: str, networks: Sequence[Network], max_bytes: int) -> Fetched:
    """The file at *url*: public and https on 443, or within *networks*.

    Raises ``NotSent`` where no server could be reached, ``Unfetchable`` for everything else, as ``Hopeless``
    or ``Gone`` where that is certain or likely.
    """
    try:
        async with asyncio.timeout(FETCH_DEADLINE):
            for _ in range(MOST_REDIRECTS + 1):
                found = await _hop(url, networks, max_bytes)
                if isinstance(found, Fetched):
                    return found
                url = found
    except (Forbidden, httpx.InvalidURL, ValueError) as error:
        raise Hopeless(_said(error)) from None
    except TimeoutError:
        raise Unfetchable(f"the file did not come within {FETCH_DEADLINE:.0f} s") from None
    raise Unfetchable(f"it redirects more than {MOST_REDIRECTS} times")


async def _hop(url: str, networks: Sequence[Network], max_bytes: int) -> Fetched | str:
    """The file, or where the server sends us for it."""
    target = httpx.URL(url)
    if target.scheme not in ("http", "https") or not target.raw_host:
        raise Hopeless("it is no http or https URL")
    port = target.port or {"http": 80, "https": 443}[target.scheme]
    if port > 65535:
        raise Hopeless(f"there is no port {port}")
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
            raise Gone(f"there is no host {host!r}") from None
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
        kind = _REFUSALS.get(response.status_code, Unfetchable)
        raise kind(f"its server answers with HTTP {response.status_code}")
    if response.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        raise Unfetchable("its server sends it compressed, unasked")
    chunks: list[bytes] = []
    size = 0
    async for chunk in response.aiter_raw():
        size += len(chunk)
        if size > max_bytes:
            raise Hopeless(f"it is larger than {max_bytes} bytes")
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
