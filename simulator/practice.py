"""What all practice carriers share: accounts, orders, journal, callbacks, and answering as ordered."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import orjson
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from simulator.accounts import Account, Accounts
from simulator.callbacks import Callback, Callbacks
from simulator.faults import Faults, Orders
from simulator.files import Files
from simulator.journal import Entry, Journal
from simulator.lines import Lines
from simulator.server import HangUp

MAX_BODY = 1 << 20


class Inbound(BaseModel):
    """A message from a person, before its carrier puts it into its own words."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, populate_by_name=True)

    sender: str = Field(alias="from", min_length=1)
    recipient: str = Field(alias="to", min_length=1)
    account: str | None = None
    text: str | None = None
    subject: str | None = None
    files: list[str] = []
    copy_to: list[str] = []
    smil: bool = False
    keyword: str | None = None
    repeat: int = Field(default=1, ge=1, le=100)


class Carrier(Protocol):
    """One carrier's file: its routes, the reports to order, and its words for an inbound message."""

    name: ClassVar[str]
    reports: ClassVar[frozenset[str]]

    def routes(self) -> list[Route]: ...

    def inbound(self, inbound: Inbound, base_url: str) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Acceptance:
    """What the carrier says to, and does with, a request that it has no objection to."""

    answer: Mapping[str, Any]
    callbacks: Sequence[Callback]


class Practice:
    """The state behind all routes. *pace* is how many real seconds one of the carriers' seconds lasts."""

    def __init__(self, accounts: Iterable[Account], pace: float) -> None:
        self.pace = pace
        self.accounts = Accounts(accounts)
        self.orders = Orders()
        self.journal = Journal()
        self.files = Files()
        self.lines = Lines()
        self.callbacks = Callbacks(self.lines, self.journal, pace)
        self._stopping = asyncio.Event()

    async def stop(self) -> None:
        """Ends every wait, so that open requests are answered at once, and gives up all callbacks."""
        self._stopping.set()
        await self.callbacks.stop()

    async def close(self) -> None:
        await self.stop()
        await self.lines.close()

    async def answer(
        self,
        entry: Entry,
        account: Account,
        faults: Faults,
        acceptance: Acceptance,
        refusal: Callable[[str], Mapping[str, Any]],
    ) -> Response:
        """Takes the request, or does not, and answers it as *faults* order."""
        if faults.model_fields_set:
            entry["faults"] = faults.model_dump(exclude_unset=True)
        if faults.takes_message:
            reports = self.callbacks.start(account, acceptance.callbacks)
            if reports and faults.early:
                await asyncio.wait({reports})
        if faults.slow:
            await self._pause(faults.slow)
        if faults.answer is None:
            return answered(entry, acceptance.answer)
        if isinstance(faults.answer, int):
            entry["answer"] = {"status": faults.answer, "body": None}
            return Response(f"HTTP {faults.answer} as ordered\n", faults.answer, media_type="text/plain")
        if faults.answer == "closed":
            entry["answer"] = None
            return HangUp()
        return answered(entry, refusal(faults.answer))

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)


def answered(entry: Entry, body: Mapping[str, Any]) -> Response:
    """*body* as the carrier's JSON answer, noted in the journal."""
    entry["answer"] = {"status": 200, "body": body}
    return Response(orjson.dumps(body), media_type="application/json")


async def body_of(request: Request) -> bytes | None:
    """The request's body, None when it is larger than 1 MiB."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            return None
    return bytes(body)
