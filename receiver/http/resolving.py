"""Names looked up, on threads of their own: nothing else in the process waits behind a slow resolver.

Names that callers and carriers gave are kept apart from those of the configuration: whoever gives a name may
see to it that its look-up hangs.
"""

import asyncio
import socket
import threading
from concurrent.futures import Future
from contextlib import suppress
from time import monotonic

import httpx

from receiver import addresses
from receiver.http.failures import Gone, NotSent, said
from receiver.http.targets import host_of, port_of

#: seconds for which a given name that could not be looked up is not looked up again
REMEMBERED = 5.0
#: failures that are remembered
MOST_REMEMBERED = 1024
#: seconds after which nobody joins a look-up that is still under way: it hangs, and may hang for another half
#: minute, as the machine's resolver is configured
HANGS = 5.0
#: look-ups under way, one a name
MOST_GIVEN, MOST_OWN = 128, 32

Found = Future[list[str]]


class Resolver:
    """Looks names up, each once at a time, at most *most* at once; failures count for *remembered* seconds.

    A look-up cannot be ended from outside. So each has a thread that the end of the process does not wait
    for, and one that hangs takes up its own place and no other.
    """

    def __init__(self, most: int, remembered: float = 0.0) -> None:
        self._most, self._remembered = most, remembered
        self._under_way: dict[str, tuple[float, Found]] = {}
        self._failed: dict[str, tuple[float, OSError]] = {}

    async def addresses(self, host: str, port: int) -> list[str]:
        """Returns the addresses of *host*, in the resolver's order. Raises ``OSError``, ``NotSent`` where
        there is no room for another look-up."""
        failed_at, error = self._failed.get(host, (0.0, None))
        if error is not None and monotonic() - failed_at < self._remembered:
            raise error.with_traceback(None)
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[list[str]] = loop.create_future()

        def tell(found: Found) -> None:
            with suppress(RuntimeError):  # the process has ended its work meanwhile
                loop.call_soon_threadsafe(_settle, waiter, found)

        # each has a future of its own: whoever gives up takes nothing from those who wait for the same name
        self._looked_up(host, port).add_done_callback(tell)
        return await waiter

    def forget(self) -> None:
        """Forgets which names could not be looked up."""
        self._failed.clear()

    def _looked_up(self, host: str, port: int) -> Found:
        since, found = self._under_way.get(host, (0.0, None))
        if found is not None:
            if monotonic() - since > HANGS:
                raise NotSent(f"the name was not looked up within {HANGS:.0f} s")
            return found
        if len(self._under_way) >= self._most:
            raise NotSent("too many names are being looked up")
        found = Found()
        self._under_way[host] = monotonic(), found
        threading.Thread(target=self._look_up, args=(host, port, found), daemon=True).start()
        return found

    def _look_up(self, host: str, port: int, found: Found) -> None:
        try:
            entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except Exception as error:  # noqa: BLE001 - those who wait are told
            if isinstance(error, OSError):
                self._remember(host, error)
            self._under_way.pop(host, None)
            found.set_exception(error)
        else:
            self._failed.pop(host, None)
            self._under_way.pop(host, None)
            found.set_result(list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in entries)))

    def _remember(self, host: str, error: OSError) -> None:
        self._failed.pop(host, None)
        self._failed[host] = monotonic(), error
        if len(self._failed) > MOST_REMEMBERED:
            self._failed.pop(next(iter(self._failed)), None)


def _settle(waiter: asyncio.Future[list[str]], found: Found) -> None:
    if waiter.done():
        return
    if error := found.exception():
        waiter.set_exception(error)
    else:
        waiter.set_result(found.result())


#: for names that apps and carriers gave, and for those of the carriers
GIVEN, OWN = Resolver(MOST_GIVEN, REMEMBERED), Resolver(MOST_OWN)


async def resolved(target: httpx.URL, *, given: bool) -> list[str]:
    """Returns the addresses of the host of *target*, looked up once: what is checked is what is connected to,
    whatever the name says a moment later.

    *given*: not by the operator. Then addresses in spellings that some resolvers read as another one are
    refused. Raises ``Forbidden`` for these, ``Gone`` where there is no such name, ``NotSent`` where the
    resolver did not answer.
    """
    host = host_of(target)
    if given and addresses.literal(host) is not None:
        return [host]
    try:
        return await (GIVEN if given else OWN).addresses(host, port_of(target))
    except socket.gaierror as error:
        if error.errno == socket.EAI_NONAME:
            raise Gone(f"there is no host {host!r}") from None
        raise NotSent(said(error)) from error
    except OSError as error:
        raise NotSent(said(error)) from error
