"""What every connection of ours has: a name that is looked up once, a certificate that is checked."""

import asyncio
import socket
import ssl
from functools import cache

import httpx

from receiver import addresses
from receiver.addresses import Address
from receiver.http.failures import Gone, NotSent, said

CONNECT_DEADLINE = 5.0
#: shorter than any carrier's: a connection that they close while we write to it makes a send uncertain
KEEPALIVE = 4.0
USER_AGENT = "Postback"
#: of a name with more addresses the rest are not tried
MOST_ADDRESSES = 4


async def resolved(host: str, port: int) -> list[Address]:
    """Looked up once: what is checked is what is connected to, whatever the name says a moment later."""
    written = addresses.literal(host)
    if written is not None:
        return [written]
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        if error.errno == socket.EAI_NONAME:
            raise Gone(f"there is no host {host!r}") from None
        raise NotSent(said(error)) from error
    except OSError as error:
        raise NotSent(said(error)) from error
    known = (addresses.literal(str(sockaddr[0])) for *_, sockaddr in found)
    return [address for address in dict.fromkeys(known) if address is not None]


@cache
def tls() -> ssl.SSLContext:
    return httpx.create_ssl_context(trust_env=False)
