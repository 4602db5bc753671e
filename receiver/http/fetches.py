"""Files fetched from addresses that our callers and the carriers gave."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import httpx

from receiver import retry_after
from receiver.addresses import Forbidden, Network
from receiver.http import bodies
from receiver.http.connecting import Connections
from receiver.http.failures import Distrusted, Gone, Hopeless, Unfetchable, said
from receiver.http.targets import Outgoing, parsed

#: seconds for a fetch, redirects included
FETCH_DEADLINE = 30.0
MOST_REDIRECTS = 3
#: what a file's server may mean for good; object stores answer 403 when a signed address has expired
REFUSALS = {401: Gone, 403: Gone, 404: Gone, 410: Hopeless}


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file and what its server says it is."""

    content: bytes
    content_type: str | None


async def fetch(url: str, networks: Sequence[Network], max_bytes: int) -> Fetched:
    """The file at *url*: public and https on 443, or within *networks*.

    Raises ``NotSent`` where no server could be reached, ``Unfetchable`` for everything else, as ``Hopeless``
    or ``Gone`` where that is certain or likely.
    """
    try:
        async with asyncio.timeout(FETCH_DEADLINE), Connections(networks) as connections:
            for _ in range(MOST_REDIRECTS + 1):
                found = await _hop(connections, url, max_bytes)
                if isinstance(found, Fetched):
                    return found
                url = found
    except (Forbidden, httpx.InvalidURL, ValueError) as error:
        raise Hopeless(said(error)) from None
    except TimeoutError:
        raise Unfetchable(f"the file did not come within {FETCH_DEADLINE:.0f} s") from None
    raise Unfetchable(f"it redirects more than {MOST_REDIRECTS} times")


async def _hop(connections: Connections, url: str, max_bytes: int) -> Fetched | str:
    """Returns the file, or where the server sends us for it."""
    target = parsed(url)
    try:
        async with connections.answer(Outgoing("GET", target, {})) as response:
            if response.has_redirect_location:
                return str(target.join(response.headers["location"]))
            return Fetched(await _content(response, max_bytes), response.headers.get("content-type"))
    except Distrusted as error:  # a certificate that is wrong today is wrong in an hour
        raise Unfetchable(str(error)) from error
    except httpx.HTTPError as error:
        raise Unfetchable(said(error)) from error


async def _content(response: httpx.Response, max_bytes: int) -> bytes:
    if response.status_code != httpx.codes.OK:
        kind = REFUSALS.get(response.status_code, Unfetchable)
        pause = retry_after.seconds(response.headers, datetime.now(UTC))
        raise kind(f"its server answers with HTTP {response.status_code}", pause)
    if response.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        raise Unfetchable("its server sends it compressed, unasked")
    return await bodies.raw(response, max_bytes, Hopeless(f"it is larger than {max_bytes} bytes"))
