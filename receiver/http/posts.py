"""Posts to apps, at addresses that they gave."""

import asyncio
from collections.abc import AsyncIterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

import httpx

from receiver import retry_after
from receiver.addresses import Forbidden, Network
from receiver.http.connecting import CONNECT_DEADLINE, Connections
from receiver.http.failures import AnswerLost, Unfetchable, said
from receiver.http.targets import Outgoing, parsed

#: bytes of an app's answer to a post that are read, and the seconds that they have after its status
MOST_OF_ANSWER = 2048
ANSWER_PATIENCE = 1.0


@dataclass(frozen=True, slots=True)
class Posted:
    """An app's answer: its status, the seconds of rest that it asks for, and the first `MOST_OF_ANSWER`
    bytes, fewer where they did not come."""

    status: int
    retry_after: float | None
    body: bytes


class Poster:
    """Posts to addresses that apps gave: public ones and https on 443, or within *networks*."""

    def __init__(self, networks: Sequence[Network]) -> None:
        self._connections = Connections(networks)

    async def post(
        self, url: str, headers: Mapping[str, str], body: bytes | AsyncIterable[bytes], deadline: float
    ) -> Posted:
        """Returns what was answered within *deadline* seconds. Raises ``NotSent``, ``AnswerLost`` and
        ``Unfetchable``.

        A *body* that is asked for its bytes is asked once the connection stands, and what it raises ends the
        post; *headers* say how long it is. The status line decides: a body of an answer that breaks off,
        hangs or never ends takes nothing back.
        """
        outgoing = Outgoing("POST", parsed(url), headers, body)
        patience = min(CONNECT_DEADLINE, deadline / 2)
        try:
            async with (
                asyncio.timeout(deadline) as limit,
                self._connections.answer(outgoing, patience) as response,
            ):
                limit.reschedule(None)
                pause = retry_after.seconds(response.headers, datetime.now(UTC))
                return Posted(response.status_code, pause, await _start(response))
        except (Forbidden, ValueError) as error:
            raise Unfetchable(said(error)) from None
        except TimeoutError:
            raise AnswerLost(f"no answer came within {deadline:g} s") from None
        except httpx.HTTPError as error:
            raise AnswerLost(said(error)) from error

    async def close_idle(self) -> None:
        """Closes connections that nobody has used for a while; to be called now and then."""
        await self._connections.close_idle()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._connections.close_idle(unused=0.0)


async def _start(response: httpx.Response) -> bytes:
    start = b""
    with suppress(TimeoutError, httpx.HTTPError):
        async with asyncio.timeout(ANSWER_PATIENCE):
            async for chunk in response.aiter_raw():
                start += chunk
                if len(start) > MOST_OF_ANSWER:
                    break
    return start[:MOST_OF_ANSWER]
