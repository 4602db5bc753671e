"""The practice carriers' outgoing connections: callbacks, and media on this machine."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache

import httpx

MAX_LINES = 64
ANSWER_WITHIN = 10.0


class Lines:
    """At most 64 requests at once, each on a client with a single connection, the warmest first.

    One client with 64 connections posts a fifth as fast: httpcore's pool looks at every connection for
    every connection on each request.
    """

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(MAX_LINES)
        self._idle: list[httpx.AsyncClient] = []
        self._all: list[httpx.AsyncClient] = []

    @asynccontextmanager
    async def line(self) -> AsyncIterator[httpx.AsyncClient]:
        async with self._free:
            client = self._idle.pop() if self._idle else self._another()
            try:
                yield client
            finally:
                self._idle.append(client)

    async def close(self) -> None:
        for client in self._all:
            await client.aclose()

    def _another(self) -> httpx.AsyncClient:
        client = httpx.AsyncClient(
            timeout=ANSWER_WITHIN,
            trust_env=False,
            verify=_trust(),
            # uvicorn drops an idle connection after 5 s; one that we drop first is never lost in a race
            limits=httpx.Limits(max_connections=1, keepalive_expiry=4),
        )
        self._all.append(client)
        return client


@cache
def _trust() -> ssl.SSLContext:
    return httpx.create_ssl_context(trust_env=False)
