"""The routes of the person who practises: accounts, orders, the journal, inbound messages.

`simulator.door` has asked for the key before; what they answer names no secret of an account.
"""

import asyncio
import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from simulator import files, hiding
from simulator.accounts import SECRETS, Account
from simulator.callbacks import JSON, Callback
from simulator.door import Problem
from simulator.faults import ANSWERS, Order
from simulator.journal import CAPACITY, shown
from simulator.practice import Carrier, Inbound, Practice, body_of

Model = TypeVar("Model", bound=BaseModel)


class JournalPage(BaseModel):
    """The query of ``GET /practice/journal``."""

    model_config = ConfigDict(extra="forbid")

    after: int = Field(default=0, ge=0)
    limit: int = Field(default=1_000, ge=1, le=CAPACITY)
    kind: str | None = Field(default=None, pattern="^(request|callback)$")


class RawPostback(BaseModel):
    """The query of ``POST /practice/postback``."""

    model_config = ConfigDict(extra="forbid")

    account: str | None = None
    repeat: int = Field(default=1, ge=1, le=100)
    #: of the callback; the request itself is always declared as JSON, whatever its body is
    content_type: str = Field(default=JSON, pattern=r"^[!-~][ -~]{0,199}$")


class Control:
    def __init__(self, practice: Practice, carriers: Mapping[str, Carrier]) -> None:
        self._practice = practice
        self._carriers = carriers

    def routes(self) -> list[Route]:
        return [
            Route("/healthz", self.healthz),
            Route("/practice/accounts", self.list_accounts),
            Route("/practice/accounts", self.add_account, methods=["POST"]),
            Route("/practice/faults", self.list_faults),
            Route("/practice/faults", self.order_faults, methods=["POST"]),
            Route("/practice/faults", self.clear_faults, methods=["DELETE"]),
            Route("/practice/journal", self.journal),
            Route("/practice/inbound", self.inbound, methods=["POST"]),
            Route("/practice/postback", self.postback, methods=["POST"]),
            Route(f"{files.PATH}/{{name}}", self.file),
        ]

    async def healthz(self, request: Request) -> Response:
        return Response(b'{"status":"ok"}', media_type="application/json")

    async def list_accounts(self, request: Request) -> Response:
        return self._json({"data": [_shown(account) for account in self._practice.accounts]})

    async def add_account(self, request: Request) -> Response:
        account = _parsed(Account, await _body(request))
        if account.provider not in self._carriers:
            raise Problem("/provider", f"must be one of: {', '.join(self._carriers)}")
        try:
            return self._json(_shown(self._practice.accounts.add(account)), 201)
        except ValueError as refused:
            raise Problem("/name", str(refused)) from None

    async def list_faults(self, request: Request) -> Response:
        return self._json({"data": self._practice.orders.shown()})

    async def order_faults(self, request: Request) -> Response:
        order = _parsed(Order, await _body(request))
        self._check_words(order)
        try:
            return self._json(self._practice.orders.add(order).shown(), 201)
        except ValueError as refused:
            raise Problem("", str(refused), 409) from None

    async def clear_faults(self, request: Request) -> Response:
        self._practice.orders.clear()
        return Response(status_code=204)

    async def journal(self, request: Request) -> Response:
        page = _parsed(JournalPage, dict(request.query_params))
        return self._json(
            {"data": self._practice.journal.page(after=page.after, limit=page.limit, kind=page.kind)}
        )

    async def inbound(self, request: Request) -> Response:
        inbound = _parsed(Inbound, await _body(request))
        account = self._account(inbound.account)
        base_url = str(request.base_url).rstrip("/")
        carrier = self._carriers[account.provider]
        callback = carrier.inbound(inbound, account, base_url)
        if account.callback_url is None and carrier.polled:
            return self._json({"data": []}, 202)  # it waits until the customer fetches it
        return await self._deliver(account, [callback] * inbound.repeat)

    async def postback(self, request: Request) -> Response:
        """Sends the body as it is, JSON or not."""
        query = _parsed(RawPostback, dict(request.query_params))
        callback = Callback(await _body(request), content_type=query.content_type)
        return await self._deliver(self._account(query.account), [callback] * query.repeat)

    async def file(self, request: Request) -> Response:
        found = self._practice.files.read(request.path_params["name"])
        if found is None:
            raise Problem("", "there is no such file (any more)", 404)
        content, content_type = found
        return Response(content, headers={"content-type": content_type})

    async def _deliver(self, account: Account, callbacks: Sequence[Callback]) -> Response:
        """Waits for the first try of every copy and shows how each was answered."""
        if account.callback_url is None:
            raise Problem("/account", f'"{account.name}" has no callback_url', 409)
        tries = self._practice.callbacks.start(account, callbacks)
        if tries is None:
            raise Problem("", "the practice carrier is stopping", 503)
        await asyncio.wait({tries})
        entries = [] if tries.cancelled() else tries.result()
        return self._json({"data": [shown(entry) for entry in entries]}, 202)

    def _json(self, content: Any, status: int = 200) -> Response:
        answer = hiding.hidden(orjson.dumps(content), self._practice.accounts)
        return Response(answer, status, media_type="application/json")

    def _check_words(self, order: Order) -> None:
        """Words and codes are those of the carriers that the order is for. Raises ``Problem``."""
        accounts = [self._account(order.account)] if order.account else list(self._practice.accounts)
        providers = {account.provider for account in accounts} or self._carriers.keys()
        carriers = [self._carriers[name] for name in providers]
        known = sorted(frozenset.intersection(*(carrier.reports for carrier in carriers)))
        if order.report not in known:
            raise Problem("/report", f"must be one of: {', '.join(known)}")
        code = order.answer if isinstance(order.answer, str) and order.answer not in ANSWERS else None
        if code and not any(re.fullmatch(carrier.codes, code) for carrier in carriers):
            raise Problem(
                "/answer", f"must be {', '.join(ANSWERS)}, an error code of the carrier or 400 to 599"
            )

    def _account(self, name: str | None) -> Account:
        try:
            return self._practice.accounts.named(name)
        except ValueError as refused:
            raise Problem("/account", str(refused)) from None


def _parsed(model: type[Model], values: Any) -> Model:
    if isinstance(values, bytes):
        try:
            values = orjson.loads(values)
        except orjson.JSONDecodeError as error:
            raise Problem("", f"the body is not JSON: {error}") from None
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise _problem_of(model, error.errors()[0]) from None


def _problem_of(model: type[BaseModel], error: ErrorDetails) -> Problem:
    pointer = "".join(f"/{step}" for step in error["loc"])
    if error["type"] == "extra_forbidden":
        known = [field.alias or name for name, field in model.model_fields.items()]
        nearest = difflib.get_close_matches(str(error["loc"][-1]), known, n=1, cutoff=0)[0]
        return Problem(pointer, f'there is no such field; the nearest is "{nearest}"')
    return Problem(pointer, error["msg"].removeprefix("Value error, "))


def _shown(account: Account) -> dict[str, Any]:
    shown = account.model_dump(exclude=set(SECRETS))
    return shown | {"callback_url": hiding.address(account.callback_url)}


async def _body(request: Request) -> bytes:
    body = await body_of(request)
    if body is None:
        raise Problem("", "the body is larger than 1 MiB", 413)
    return body
