"""Files fetched from addresses that our callers and the carriers gave."""

import asyncio
import ssl
from collections.abc import Sequence
from dataclasses import dataclass

import httpx

from receiver import addresses
from receiver.addresses import Address, Forbidden, Network
from receiver.http.connecting import CONNECT_DEADLINE, MOST_ADDRESSES, USER_AGENT, resolved, tls
from receiver.http.failures import Gone, Hopeless, NotSent, Unfetchable, said

#: seconds for a fetch, redirects included
FETCH_DEADLINE = 30.0
MOST_REDIRECTS = 3
#: what a file's server may mean for good; object stores answer 403 when a signed address has expired
_REFUSALS = {401: Gone, 403: Gone, 404: Gone, 410: Hopeless}


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
        async with asyncio.timeout(FETCH_DEADLINE):
            for _ in range(MOST_REDIRECTS + 1):
                found = await _hop(url, networks, max_bytes)
                if isinstance(found, Fetched):
                    return found
                url = found
    except (Forbidden, httpx.InvalidURL, ValueError) as error:
        raise Hopeless(said(error)) from None
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
    found = await resolved(target.raw_host.decode("ascii"), port)
    addresses.check(target.scheme, port, found, networks)
    failure: Exception | None = None
    for address in found[:MOST_ADDRESSES]:
        try:
            return await _get(target, address, max_bytes)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            if _is_about_tls(error):
                raise Unfetchable(said(error)) from error
            failure = error
        except httpx.HTTPError as error:
            raise Unfetchable(said(error)) from error
    raise NotSent(said(failure) if failure else "the name has no address")


async def _get(target: httpx.URL, address: Address, max_bytes: int) -> Fetched | str:
    # a client of its own: connections are pooled by address, and here one address may be many hosts
    async with httpx.AsyncClient(
        timeout=httpx.Timeout(FETCH_DEADLINE, connect=CONNECT_DEADLINE),
        verify=tls(),
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


def _is_about_tls(error: BaseException | None) -> bool:
    """A certificate that is wrong today is wrong in an hour; httpx calls it a failure to connect."""
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__ or error.__context__
    return error is not None and not isinstance(error, ssl.SSLEOFError)
