"""Calls to carriers."""

import asyncio
from collections import deque
from datetime import UTC, datetime
from time import monotonic
from types import TracebackType
from typing import Self

import httpx

from models.events import Answer, Call
from receiver.http.connecting import CONNECT_DEADLINE, KEEPALIVE, USER_AGENT, tls
from receiver.http.failures import AnswerLost, NotSent, said

#: seconds from the first to the last byte of a call to a carrier
CALL_DEADLINE = 30.0
LARGEST_ANSWER = 1 << 20


class Client:
    """Calls carriers. One per process; keeps connections open between calls.

    Each call has an httpx client to itself while it lasts: a pool looks through all its connections at every
    call, and with 64 under way that takes longer than the call.
    """

    def __init__(self, *, connections: int = 200) -> None:
        self._places = asyncio.Semaphore(connections)
        #: by the time of their last use: the last one's connections are the likeliest to be open still
        self._idle: deque[tuple[float, httpx.AsyncClient]] = deque()

    async def call(self, call: Call) -> Answer:
        """The carrier's whole answer. Raises ``NotSent`` or ``AnswerLost``."""
        await self._place()
        client = self._idle.pop()[1] if self._idle else _client()
        try:
            return await self._called(client, call)
        finally:
            self._idle.append((monotonic(), client))
            self._places.release()
            await self._close(until=monotonic() - KEEPALIVE)

    async def _place(self) -> None:
        try:
            async with asyncio.timeout(CONNECT_DEADLINE):
                await self._places.acquire()
        except TimeoutError:
            raise NotSent("too many calls are under way") from None

    async def _close(self, until: float) -> None:
        """Closes the clients that nobody has used since *until*."""
        while self._idle and self._idle[0][0] <= until:
            await self._idle.popleft()[1].aclose()

    async def _called(self, client: httpx.AsyncClient, call: Call) -> Answer:
        request = client.build_request(call.method, call.url, headers=dict(call.headers), content=call.body)
        try:
            async with asyncio.timeout(CALL_DEADLINE):
                return await self._exchange(client, request)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol) as error:
            raise NotSent(said(error)) from error
        except (httpx.HTTPError, TimeoutError) as error:
            raise AnswerLost(said(error)) from error

    async def _exchange(self, client: httpx.AsyncClient, request: httpx.Request) -> Answer:
        response = await client.send(request, stream=True)
        try:
            chunks: list[bytes] = []
            size = 0
            async for chunk in response.aiter_bytes():
                size += len(chunk)
                if size > LARGEST_ANSWER:
                    raise AnswerLost(f"the answer is larger than {LARGEST_ANSWER} bytes")
                chunks.append(chunk)
            return Answer(response.status_code, dict(response.headers), b"".join(chunks), datetime.now(UTC))
        finally:
            await response.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close(until=monotonic())


def _client() -> httpx.AsyncClient:
    return httpx.AsyncClient(
        timeout=httpx.Timeout(CALL_DEADLINE, connect=CONNECT_DEADLINE),
        limits=httpx.Limits(keepalive_expiry=KEEPALIVE),
        headers={"user-agent": USER_AGENT},
        verify=tls(),
        trust_env=False,
        follow_redirects=False,
    )
