"""Asks the server of a file about it without fetching it."""

import asyncio
import re
from collections.abc import Sequence

import httpx

from models.sends import Hosted
from receiver.addresses import Forbidden, Insecure, Network
from receiver.http.connecting import Connections
from receiver.http.failures import Hopeless, Unfetchable, said
from receiver.http.fetches import MOST_REDIRECTS, REFUSALS
from receiver.http.targets import Outgoing, host_of, parsed

#: seconds for a look, redirects included
LOOK_DEADLINE = 8.0
#: names for documents (RFC 2606): whoever copies an example knocks at nobody's door
_RESERVED = re.compile(r"(.*\.)?(example\.(com|net|org)|example|invalid|test)\.?")
#: as few bytes as a server may be asked for; they are not read
_RANGE = {"range": "bytes=0-1023"}


async def look(url: str, networks: Sequence[Network]) -> Hosted:
    """Returns what the server of *url* says of the file there: public and https on 443, or within *networks*.

    It is asked by HEAD, and where that does not tell all by a GET of the first bytes. Raises ``NotSent``
    where no server could be reached, ``Hopeless`` or ``Gone`` where it has no such file for the public, and
    ``Unfetchable`` where nothing can be said.
    """
    try:
        async with asyncio.timeout(LOOK_DEADLINE), Connections(networks) as connections:
            try:
                found = await _asked(connections, "HEAD", url)
            except Unfetchable:  # not every server answers it, and signed addresses are for one method
                found = Hosted()
            whole = found.content_type and found.length is not None and not found.chunked
            return found if whole else await _asked(connections, "GET", url)
    except Insecure as error:
        raise Unfetchable(said(error)) from None
    except (Forbidden, httpx.InvalidURL, ValueError) as error:
        raise Hopeless(said(error)) from None
    except TimeoutError:
        raise Unfetchable(f"its server did not answer within {LOOK_DEADLINE:.0f} s") from None


async def _asked(connections: Connections, method: str, url: str) -> Hosted:
    for _ in range(MOST_REDIRECTS + 1):
        target = parsed(url)
        if _RESERVED.fullmatch(host_of(target).lower()):
            raise Unfetchable("its name is one for documents")
        headers = _RANGE if method == "GET" else {}
        try:
            async with connections.answer(Outgoing(method, target, headers)) as response:
                if not response.has_redirect_location:
                    return _hosted(response)
                url = str(target.join(response.headers["location"]))
        except httpx.HTTPError as error:
            raise Unfetchable(said(error)) from error
    raise Unfetchable(f"it redirects more than {MOST_REDIRECTS} times")


def _hosted(response: httpx.Response) -> Hosted:
    if response.status_code not in (httpx.codes.OK, httpx.codes.PARTIAL_CONTENT):
        kind = REFUSALS.get(response.status_code, Unfetchable)
        raise kind(f"its server answers with HTTP {response.status_code}")
    total = response.headers.get("content-length", "")
    if response.status_code == httpx.codes.PARTIAL_CONTENT:
        total = response.headers.get("content-range", "").rpartition("/")[2]
    return Hosted(
        content_type=response.headers.get("content-type", "").partition(";")[0].strip().lower()[:127] or None,
        length=int(total) if re.fullmatch("[0-9]{1,15}", total, re.ASCII) else None,
        chunked="chunked" in response.headers.get("transfer-encoding", "").lower(),
    )
