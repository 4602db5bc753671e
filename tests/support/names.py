"""Names of a test's own, in place of the machine's resolver."""

import asyncio
import socket
from collections import defaultdict
from typing import Any

import pytest


def resolve(monkeypatch: pytest.MonkeyPatch, names: dict[str, Any]) -> list[str]:
    """Answers for *names*: addresses, a function that gives them, or the resolver's exception.

    The list that is returned fills with the names that were asked for.
    """
    asked: list[str] = []

    async def getaddrinfo(host: str, port: int) -> list[Any]:
        asked.append(host)
        answer = names[host]() if callable(names[host]) else names[host]
        if isinstance(answer, Exception):
            raise answer
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in answer]

    def known(host: Any) -> bool:
        return host in names or isinstance(names, defaultdict)

    loop = asyncio.get_running_loop()
    original = loop.getaddrinfo

    async def chosen(host: Any, port: Any, **options: Any) -> Any:
        return await (getaddrinfo(host, port) if known(host) else original(host, port, **options))

    monkeypatch.setattr(loop, "getaddrinfo", chosen)
    return asked
