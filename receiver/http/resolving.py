"""Names looked up."""

import asyncio
import socket

import httpx

from receiver import addresses
from receiver.http.failures import Gone, NotSent, said
from receiver.http.targets import host_of, port_of


async def resolved(target: httpx.URL, *, strict: bool) -> list[str]:
    """Returns the addresses of the host of *target*, looked up once: what is checked is what is connected to,
    whatever the name says a moment later.

    *strict* refuses addresses in spellings that some resolvers read as another one. Raises ``Forbidden`` for
    these, ``Gone`` where there is no such name, ``NotSent`` where the resolver did not answer.
    """
    host = host_of(target)
    if strict and addresses.literal(host) is not None:
        return [host]
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port_of(target), type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        if error.errno == socket.EAI_NONAME:
            raise Gone(f"there is no host {host!r}") from None
        raise NotSent(said(error)) from error
    except OSError as error:
        raise NotSent(said(error)) from error
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))
