"""Names of a test's own, in place of the machine's resolver."""

import socket
from collections import defaultdict
from typing import Any

import pytest

from receiver.http import resolving


def resolve(monkeypatch: pytest.MonkeyPatch, names: dict[str, Any]) -> list[str]:
    """Answers for *names*: addresses, a function that gives them, or the resolver's exception. A function may
    take its time: it is called on the resolver's thread.

    The list that is returned fills with the names that were asked for.
    """
    asked: list[str] = []

    def addresses(host: str, port: int) -> list[Any]:
        asked.append(host)
        answer = names[host]() if callable(names[host]) else names[host]
        if isinstance(answer, Exception):
            raise answer
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in answer]

    def known(host: Any) -> bool:
        return host in names or isinstance(names, defaultdict)

    original = socket.getaddrinfo

    def chosen(host: Any, port: Any, *arguments: Any, **options: Any) -> Any:
        return addresses(host, port) if known(host) else original(host, port, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", chosen)
    resolving.GIVEN.forget()
    return asked
