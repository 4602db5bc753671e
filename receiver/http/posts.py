"""Posts to apps, at addresses that they gave."""

import asyncio
import random
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from time import monotonic
from types import TracebackType
from typing import Self

import httpx

from receiver import addresses, retry_after
from receiver.addresses import Forbidden, Network
from receiver.http.connecting import CONNECT_DEADLINE, KEEPALIVE, MOST_ADDRESSES, USER_AGENT, resolved, tls
from receiver.http.failures import AnswerLost, NotSent, Unfetchable, said

#: bytes of an app's answer to a post that are read
MOST_OF_ANSWER = 2048
_POST_TIMEOUTS = {"connect": CONNECT_DEADLINE, "read": None, "write": None, "pool": None}


@dataclass(frozen=True, slots=True)
class Posted:
    """An app's answer: its status, the seconds of rest that it asks for, and the first `MOST_OF_ANSWER`
    bytes."""

    status: int
    retry_after: float | None
    body: bytes


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
            raise Unfetchable(said(error)) from None
        except TimeoutError:
            raise AnswerLost(f"no whole answer came within {deadline:.0f} s") from None
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise NotSent(said(error)) from error
        except httpx.HTTPError as error:
            raise AnswerLost(said(error)) from error
        self._idle.setdefault(origin, deque()).append(replace(line, used=monotonic()))
        return posted

    def _kept(self, origin: bytes) -> "_Line | None":
        idle = self._idle.get(origin)
        return idle.pop() if idle and idle[-1].used > monotonic() - KEEPALIVE else None

    async def _connected(self, target: httpx.URL) -> "_Line":
        port = target.port or {"http": 80, "https": 443}[target.scheme]
        found = await resolved(target.raw_host.decode("ascii"), port)
        addresses.check(target.scheme, port, found, self._networks)
        if not found:
            raise NotSent("the name has no address")
        # another try goes to another of them
        limits = httpx.Limits(keepalive_expiry=KEEPALIVE)
        transport = httpx.AsyncHTTPTransport(verify=tls(), limits=limits, trust_env=False)
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
        pause = retry_after.seconds(response.headers, datetime.now(UTC))
        return Posted(response.status_code, pause, start[:MOST_OF_ANSWER])
    finally:
        await response.aclose()


@lru_cache(maxsize=1024)
def _parsed(url: str) -> httpx.URL:
    """Raises ``Unfetchable``."""
    try:
        target = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise Unfetchable(said(error)) from None
    if target.scheme not in ("http", "https") or not target.raw_host or (target.port or 1) > 65535:
        raise Unfetchable("it is no http or https URL")
    return target
