"""The one outgoing client: time-outs, a cap on answers, and what a failure means for the request.

httpx is imported here and nowhere else in the product, so that its continuation can take its place by one
line (docs/decisions/0004).
"""

import asyncio
from types import TracebackType
from typing import Self

import httpx

from models.events import Answer, Call

#: seconds from the first to the last byte of a call to a carrier
CALL_DEADLINE = 30.0
CONNECT_DEADLINE = 5.0
#: shorter than any carrier's: a connection that they close while we write to it makes a send uncertain
KEEPALIVE = 4.0
LARGEST_ANSWER = 1 << 20
USER_AGENT = "Postback"


class NotSent(Exception):
    """No connection was made: the carrier never saw the request."""


class AnswerLost(Exception):
    """The request left, wholly or in part, and no whole answer came: nobody here knows what became of it."""


class Client:
    """Calls carriers. One per process; keeps connections open between calls."""

    def __init__(self, *, connections: int = 200) -> None:
        self._client = httpx.AsyncClient(
            timeout=httpx.Timeout(CALL_DEADLINE, connect=CONNECT_DEADLINE, pool=CONNECT_DEADLINE),
            limits=httpx.Limits(
                max_connections=connections, max_keepalive_connections=connections, keepalive_expiry=KEEPALIVE
            ),
            headers={"user-agent": USER_AGENT},
            trust_env=False,
            follow_redirects=False,
        )

    async def call(self, call: Call) -> Answer:
        """The carrier's whole answer. Raises ``NotSent`` or ``AnswerLost``."""
        request = self._client.build_request(
            call.method, call.url, headers=dict(call.headers), content=call.body
        )
        try:
            async with asyncio.timeout(CALL_DEADLINE):
                return await self._exchange(request)
        except (
            httpx.ConnectError,
            httpx.ConnectTimeout,
            httpx.PoolTimeout,
            httpx.UnsupportedProtocol,
        ) as error:
            raise NotSent(_said(error)) from error
        except (httpx.HTTPError, TimeoutError) as error:
            raise AnswerLost(_said(error)) from error

    async def _exchange(self, request: httpx.Request) -> Answer:
        response = await self._client.send(request, stream=True)
        try:
            chunks: list[bytes] = []
            size = 0
            async for chunk in response.aiter_bytes():
                size += len(chunk)
                if size > LARGEST_ANSWER:
                    raise AnswerLost(f"the answer is larger than {LARGEST_ANSWER} bytes")
                chunks.append(chunk)
            return Answer(response.status_code, dict(response.headers), b"".join(chunks))
        finally:
            await response.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()


def _said(error: Exception) -> str:
    """The kind of failure and its words, without the request: its URL and headers may hold credentials."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
