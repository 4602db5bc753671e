"""Addresses of callers, and those to which a URL that somebody gave us may lead: public ones, and what the
operator has named.

Pure. Looking names up and connecting is `receiver.http`'s, to the very addresses that were checked here.
"""

import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

#: all that is routed as IPv6 unicast; outside of it lie the mapped, translated and local forms
_UNICAST = ip_network("2000::/3")
# addresses that carry another one inside, which a router along the way takes out: Teredo, 6to4, its relays
_TUNNELS = (ip_network("2001::/32"), ip_network("2002::/16"), ip_network("192.88.99.0/24"))
#: what Python 3.11 takes for anybody's: addresses for books (RFC 9637), those that the IETF gives to
#: protocols (RFC 6890; in Oracle's cloud 192.0.0.192 tells machines their credentials), and Azure's for that
_TAKEN = (ip_network("3fff::/20"), ip_network("192.0.0.0/24"), ip_network("168.63.129.16/32"))
#: ends of names for networks of one's own (RFC 6761, 6762, 8375, ICANN's resolution of 2024), and those of
#: Unix, of routers and of Kubernetes
_PRIVATE = (".localhost", ".local", ".home.arpa", ".internal", ".localdomain", ".lan", ".svc")


class Forbidden(Exception):
    """A URL that leads where none of ours may; the message says why."""


class Insecure(Forbidden):
    """It may lead to somebody, and not over https on 443."""


def literal(host: str) -> Address | None:
    """The address that *host* is, None for a name.

    Raises ``Forbidden`` for numbers in another spelling: 2130706433, 0x7f.1 and 0177.0.0.1 are 127.0.0.1 to
    some resolvers and names to others.
    """
    try:
        return ip_address(host)
    except ValueError:
        last = host.rstrip(".").rpartition(".")[2]
        if re.fullmatch("[0-9]+|0[xX][0-9a-fA-F]*", last) or ":" in host:
            raise Forbidden(f"{host!r} is an address in a spelling that is not accepted") from None
        return None


def of_peer(peer: str | None) -> Address | None:
    """Returns the address of a caller, as IPv4 where it is one inside IPv6, and without its zone; None where
    *peer* is no address."""
    try:
        address = ip_address((peer or "").partition("%")[0])
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def public(address: Address) -> bool:
    """Whether anybody on the internet could have it."""
    if isinstance(address, IPv6Address) and address not in _UNICAST:
        return False
    odd = any(address in network for network in (*_TUNNELS, *_TAKEN))
    return address.is_global and not (address.is_multicast or address.is_reserved or odd)


def is_local_name(host: str) -> bool:
    """Returns whether the name *host* is one of this machine or its network alone, as far as a name can say
    it."""
    name = host.lower().rstrip(".")
    return "." not in name or name.endswith(_PRIVATE)


def check_public(host: str, networks: Sequence[Network]) -> None:
    """Raises ``Forbidden`` where *host* tells by its spelling that nobody on the internet reaches it, unless
    one of *networks* holds it. Nothing is looked up: any other name may still lead anywhere."""
    name = host.rstrip(".").lower()
    address = ip_address("127.0.0.1") if name.rpartition(".")[2] == "localhost" else literal(name)
    if address is None:
        if not networks and is_local_name(name):
            raise Forbidden(f"{host!r} is a name of a private network")
    elif not (public(address) or any(address in network for network in networks)):
        raise Forbidden(f"{host!r} is not a public address, and private_networks does not hold it")


def check(scheme: str, port: int, addresses: Sequence[Address], networks: Sequence[Network]) -> None:
    """Raises ``Forbidden`` unless each of *addresses* is in one of *networks*, or public and the URL https on
    443."""
    strangers = [one for one in addresses if not any(one in network for network in networks)]
    for address in strangers:
        if not public(address):
            raise Forbidden(f"{address} is not a public address, and private_networks does not hold it")
    if strangers and (scheme, port) != ("https", 443):
        raise Insecure("outside private_networks only https on port 443 is fetched")
