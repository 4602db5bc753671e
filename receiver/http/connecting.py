"""The one way to a server: its name looked up once and checked, its addresses tried in turn, its certificate
checked, and the connection kept for a moment.

An address that cannot be connected to gives way to the next one at once. Nothing was sent to it, so trying
the next one sends nothing twice. Once a byte of the request may have left, no other address is tried.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import cache
from time import monotonic
from types import TracebackType
from typing import Self

import httpx

from receiver import addresses
from receiver.addresses import Network
from receiver.http.failures import Distrusted, NotSent, said
from receiver.http.resolving import resolved
from receiver.http.targets import Outgoing, origin_of, port_of

#: seconds for a look-up, and for the connection to one of all addresses that were found
CONNECT_DEADLINE = 5.0
#: shorter than any carrier's: a connection that they close while we write to it makes a send uncertain
KEEPALIVE = 4.0
#: of a name with more addresses the rest are not tried
MOST_ADDRESSES = 4
#: seconds for which the address that answered last is tried before the others of its name
PREFERRED = 60.0
#: names for which such an address is remembered
MOST_PREFERRED = 1024


@dataclass(frozen=True, slots=True)
class _Line:
    """A connection, made or to be made, to the one *address* that was checked for it."""

    transport: httpx.AsyncHTTPTransport
    address: str
    used: float


class Connections:
    """Exchanges requests with servers, each over a connection that it has to itself while it lasts: a pool
    looks through all its connections at every request, and with 64 under way that takes longer than a call.

    With *networks* only public addresses are connected to, over https on 443, and those within *networks*;
    with None any address, because the URLs are the operator's own. Redirects are not followed, cookies not
    kept, proxies of the environment not asked.
    """

    def __init__(self, networks: Sequence[Network] | None) -> None:
        self._networks = networks
        #: by scheme, host and port: those used last at the end
        self._idle: dict[bytes, deque[_Line]] = {}

    @asynccontextmanager
    async def answer(
        self, outgoing: Outgoing, patience: float = CONNECT_DEADLINE
    ) -> AsyncIterator[httpx.Response]:
        """Yields the head of the answer, its body still to be read. The connection is kept if the body was
        read to its end, and closed otherwise.

        *patience* is in seconds, for the addresses together; the answer has no deadline but its caller's.
        Raises ``NotSent``, ``Distrusted``, ``Unfetchable``, ``Forbidden``; ``httpx.HTTPError`` where the
        request left.
        """
        line, response = await self._sent(outgoing, patience)
        whole = False
        try:
            yield response
            whole = response.is_closed
        finally:
            await response.aclose()
            if whole:
                idle = self._idle.setdefault(origin_of(outgoing.target), deque())
                idle.append(replace(line, used=monotonic()))
            else:
                await line.transport.aclose()

    async def close_idle(self, unused: float = KEEPALIVE) -> None:
        """Closes the connections that nobody has used for *unused* seconds; to be called now and then."""
        since = monotonic() - unused
        for origin, idle in list(self._idle.items()):
            while idle and idle[0].used <= since:
                await idle.popleft().transport.aclose()
            if not idle:
                self._idle.pop(origin, None)

    async def _sent(self, outgoing: Outgoing, patience: float) -> tuple[_Line, httpx.Response]:
        idle = self._idle.get(origin_of(outgoing.target))
        if idle and idle[-1].used > monotonic() - KEEPALIVE:
            try:
                return await _asked(idle.pop(), outgoing, patience)
            except NotSent:  # it was closed meanwhile, and its address does not answer any more
                _answering.pop(origin_of(outgoing.target), None)
        return await self._sent_anew(outgoing, patience)

    async def _sent_anew(self, outgoing: Outgoing, patience: float) -> tuple[_Line, httpx.Response]:
        found = await self._found(outgoing.target)
        end = monotonic() + patience
        failure = NotSent("the name has no address")
        for place, address in enumerate(found):
            # what earlier addresses left over is shared by those that are left
            share = max(end - monotonic(), 0.0) / (len(found) - place)
            try:
                line, response = await _asked(_line_to(address), outgoing, share)
            except Distrusted:
                raise  # another address of the same name has no better right to be believed
            except NotSent as error:
                failure = error
            else:
                _prefer(outgoing.target, address)
                return line, response
        raise failure

    async def _found(self, target: httpx.URL) -> list[str]:
        """Returns the addresses that *target* may be connected to, in the order in which to try them."""
        try:
            async with asyncio.timeout(CONNECT_DEADLINE):
                found = await resolved(target, given=self._networks is not None)
        except TimeoutError:
            raise NotSent(f"the name was not looked up within {CONNECT_DEADLINE:.0f} s") from None
        if self._networks is not None:
            known = [address for one in found if (address := addresses.literal(one)) is not None]
            addresses.check(target.scheme, port_of(target), known, self._networks)
            found = [str(address) for address in known]
        preferred = _preferred(target)
        return sorted(found, key=lambda address: address != preferred)[:MOST_ADDRESSES]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close_idle(unused=0.0)


async def _asked(line: _Line, outgoing: Outgoing, patience: float) -> tuple[_Line, httpx.Response]:
    """Sends *outgoing* over *line* and waits for the head of its answer; closes the line where none comes.

    Raises ``NotSent`` or ``Distrusted`` where no connection was made within *patience* seconds, ``NotSent``
    also where *outgoing* cannot be written.
    """
    try:
        request = outgoing.to(line.address, patience)
        return line, await line.transport.handle_async_request(request)
    except BaseException as error:
        await line.transport.aclose()
        if not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
            raise
        kind = Distrusted if _is_about_tls(error) else NotSent
        raise kind(f"{said(error)} at {line.address}") from error


def _line_to(address: str) -> _Line:
    # the transport by itself: a client's cookies, redirects and authentication are not wanted here
    limits = httpx.Limits(keepalive_expiry=KEEPALIVE)
    return _Line(httpx.AsyncHTTPTransport(verify=tls(), limits=limits, trust_env=False), address, monotonic())


@cache
def tls() -> ssl.SSLContext:
    return httpx.create_ssl_context(trust_env=False)


def _is_about_tls(error: BaseException | None) -> bool:
    """Returns whether the server spoke and could not be believed; httpx calls that a failure to connect."""
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__ or error.__context__
    return error is not None and not isinstance(error, ssl.SSLEOFError)


#: by scheme, host and port: the address that was connected to last, and when
_answering: dict[bytes, tuple[str, float]] = {}


def _preferred(target: httpx.URL) -> str | None:
    address, at = _answering.get(origin_of(target), (None, 0.0))
    return address if monotonic() - at < PREFERRED else None


def _prefer(target: httpx.URL, address: str) -> None:
    origin = origin_of(target)
    _answering.pop(origin, None)
    _answering[origin] = address, monotonic()
    if len(_answering) > MOST_PREFERRED:
        del _answering[next(iter(_answering))]


def forget() -> None:
    """Forgets which addresses answered."""
    _answering.clear()
