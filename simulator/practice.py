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
from simulator.callbacks import Callback, Callbacks, Retries
from simulator.faults import Faults, Orders
from simulator.files import Files
from simulator.journal import Entry, Journal
from simulator.lines import Lines
from simulator.server import HangUp

#: the carrier's seconds between two reports on a message
REPORT_PAUSE = 20.0
MAX_BODY = 1 << 20
#: for carriers that take the files themselves
MAX_BODY_WITH_FILES = 16 << 20


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
    #: the words that an order's ``report`` may be
    reports: ClassVar[frozenset[str]]
    #: the error codes that an order's ``answer`` may be: a regular expression
    codes: ClassVar[str]
    retries: ClassVar[Retries]
    #: whether inbound messages wait for a customer who has no callback URL
    polled: ClassVar[bool]

    def __init__(self, practice: "Practice") -> None: ...

    def routes(self) -> list[Route]: ...

    def inbound(self, inbound: Inbound, account: Account, base_url: str) -> Callback: ...


@dataclass(frozen=True, slots=True)
class Answer:
    body: Any
    status: int = 200


@dataclass(frozen=True, slots=True)
class Acceptance:
    """What the carrier says to, and does with, a request that it has no objection to.

    *scripts* run side by side, the callbacks of each one after the other.
    """

    answer: Answer
    scripts: Sequence[Sequence[Callback]] = ()


class Practice:
    """The state behind all routes. *pace* is how many real seconds one of the carriers' seconds lasts."""

    def __init__(self, accounts: Iterable[Account], pace: float, retries: Mapping[str, Retries]) -> None:
        self.pace = pace
        self.accounts = Accounts(accounts)
        self.orders = Orders()
        self.journal = Journal()
        self.files = Files()
        self.lines = Lines()
        self.callbacks = Callbacks(self.lines, self.journal, pace, retries)
        self._stopping = asyncio.Event()

    async def stop(self) -> None:
        """Ends every wait, so that open requests are answered at once, and gives up all callbacks."""
        self._stopping.set()
        await self.callbacks.stop()

    async def close(self) -> None:
        await self.stop()
        await self.lines.close()

    def pause_of(self, faults: Faults) -> float:
        """Real seconds between two reports on a message."""
        return 0 if faults.early else REPORT_PAUSE * self.pace

    def received(self, provider: str, account: Account | None, body: bytes | None) -> Entry:
        """A customer's request in the journal; whoever answers it notes the answer there."""
        name = account and account.name
        return self.journal.add("request", body or b"", provider=provider, account=name, answer=None)

    async def answer(
        self,
        entry: Entry,
        account: Account,
        faults: Faults,
        acceptance: Acceptance,
        refusal: Callable[[str], Answer],
    ) -> Response:
        """Takes the request, or does not, and answers it as *faults* order."""
        if faults.model_fields_set:
            entry["faults"] = faults.model_dump(exclude_unset=True)
        if faults.takes_message:
            started = [self.callbacks.start(account, script) for script in acceptance.scripts]
            reports = {task for task in started if task}
            if reports and faults.early:
                await asyncio.wait(reports)
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
            async with asyncio.timeout(seconds):
                await self._stopping.wait()


def answered(entry: Entry, answer: Answer) -> Response:
    """*answer* as the carrier's JSON, or as plain text where it is text; noted in the journal."""
    entry["answer"] = {"status": answer.status, "body": answer.body}
    if isinstance(answer.body, str):
        return Response(answer.body, answer.status, media_type="text/plain")
    return Response(orjson.dumps(answer.body), answer.status, media_type="application/json")


async def body_of(request: Request, most: int = MAX_BODY) -> bytes | None:
    """The request's body, None when it is larger than *most* bytes."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            return None
    return bytes(body)


def bearer(request: Request) -> str:
    """The request's Bearer token, empty without one."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
