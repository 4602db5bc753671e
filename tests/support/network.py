"""Keeps the suite on this machine: an audit hook sees every connection that Python's sockets open."""

import ipaddress
import socket
import sys

_attempts: list[str] = []
_installed: list[bool] = []


class OffTheMachine(OSError):
    """The test tried to reach somebody else's server."""


def guard() -> None:
    """Refuses connections and name look-ups that leave the machine, from now on and for good.

    The code under test may well take the refusal for a network that is down, so each one is kept as well.
    """
    if not _installed:
        sys.addaudithook(_audit)
        _installed.append(True)


def attempts() -> list[str]:
    """What was refused since the last call."""
    seen = _attempts.copy()
    _attempts.clear()
    return seen


def _audit(event: str, arguments: tuple[object, ...]) -> None:
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        _check_address(*arguments)
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        _check_name(arguments[0])


def _check_address(opened: object, address: object = None, *_: object) -> None:
    internet = isinstance(opened, socket.socket) and opened.family in (socket.AF_INET, socket.AF_INET6)
    if internet and isinstance(address, tuple) and not _is_loopback(str(address[0])):
        _refuse(f"{address[0]}:{address[1]}")


def _check_name(host: object) -> None:
    name = host.decode() if isinstance(host, bytes) else str(host or "localhost")
    # Looking up an address asks nobody; connecting to it is refused when it comes to that.
    if not _is_loopback(name) and not _is_address(name):
        _refuse(name)


def _refuse(target: str) -> None:
    _attempts.append(target)
    raise OffTheMachine(f"tests may not leave this machine, and this one went to {target}")


def _is_loopback(host: str) -> bool:
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
