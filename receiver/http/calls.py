"""Calls to carriers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

import httpx

from models.events import Unreadable
from models.sends import Answer, Call
from receiver.compression import unpacked
from receiver.http import bodies
from receiver.http.connecting import CONNECT_DEADLINE, Connections
from receiver.http.failures import AnswerLost, NotSent, Unfetchable, said
from receiver.http.targets import Outgoing, parsed

#: seconds from the first to the last byte of a call to a carrier
CALL_DEADLINE = 30.0
LARGEST_ANSWER = 1 << 20


class Client:
    """Calls carriers, *connections* at a time. One per process; keeps connections open between calls."""

    def __init__(self, *, connections: int = 200) -> None:
        self._places = asyncio.Semaphore(connections)
        self._connections = Connections(None)

    async def call(self, call: Call) -> Answer:
        """Returns the carrier's answer. Raises ``NotSent`` or ``AnswerLost``.

        An answer that is no success is judged by its status where its body breaks off or does not end: it is
        returned with an empty body, because half of one might say something else than the whole.
        """
        async with self._place():
            try:
                return await self._answer(Outgoing(call.method, parsed(call.url), call.headers, call.body))
            except Unfetchable as error:  # it is no URL, or there is no such host
                raise NotSent(str(error)) from error
            except (httpx.HTTPError, TimeoutError) as error:
                raise AnswerLost(said(error)) from error
            finally:
                await self._connections.close_idle()

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(CONNECT_DEADLINE):
                await self._places.acquire()
        except TimeoutError:
            raise NotSent("too many calls are under way") from None
        try:
            yield
        finally:
            self._places.release()

    async def _answer(self, outgoing: Outgoing) -> Answer:
        end = asyncio.get_running_loop().time() + CALL_DEADLINE
        async with asyncio.timeout_at(end) as limit, self._connections.answer(outgoing) as response:
            limit.reschedule(None)  # the status is there, and its body has the rest of the time
            try:
                async with asyncio.timeout_at(end):
                    body = await _whole(response)
            except (httpx.HTTPError, TimeoutError, AnswerLost):
                if response.is_success:
                    raise
                body = b""
            return Answer(response.status_code, dict(response.headers), body, datetime.now(UTC))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._connections.close_idle(unused=0.0)


async def _whole(response: httpx.Response) -> bytes:
    """Returns the body, unpacked where it comes compressed, which nobody asked for. Raises ``AnswerLost`` for
    one that is too large, as it came or unpacked, or that cannot be unpacked."""
    too_large = AnswerLost(f"the answer is larger than {LARGEST_ANSWER} bytes")
    body = await bodies.raw(response, LARGEST_ANSWER, too_large)
    try:
        # never more than that is made of it: httpx would unpack each chunk to its end
        return unpacked(body, response.headers.get("content-encoding", ""), LARGEST_ANSWER)
    except Unreadable as error:
        raise AnswerLost(str(error)) from None
