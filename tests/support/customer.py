"""Somebody with an account at a practice carrier, and the same carrier in process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from simulator.app import Account, create
from tests.support.carrier import CONTROL, PRACTICE_KEY, Receiver, running_receiver, running_simulator
from tests.support.carrier_cases import CASES, KEY, Case


class Customer:
    def __init__(self, case: Case, client: httpx.AsyncClient, receiver: Receiver) -> None:
        self.case, self.http, self.receiver = case, client, receiver

    async def send(self, to: str = "") -> httpx.Response:
        request = self.case.request(to or self.case.to)
        return await self.http.post(self.case.path, headers=self.case.headers, **request)

    async def order(self, **faults: Any) -> None:
        response = await self.http.post("/practice/faults", json=faults)
        assert 201 == response.status_code, response.text

    async def words(self, number: int) -> list[str]:
        return [self.case.word(body) for body in await self.receiver.first(number)]


@asynccontextmanager
async def desk_of(case: Case) -> AsyncIterator[httpx.AsyncClient]:
    """The carrier in process, for what needs no callbacks."""
    account = Account(provider=case.provider, api_key=KEY, callback_url="http://127.0.0.1:9/")
    app = create([account], key=PRACTICE_KEY, hosts=["carrier"], pace=0)
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=transport, base_url="http://carrier", headers=CONTROL | case.headers
        ) as client,
    ):
        yield client


@asynccontextmanager
async def customer_of(case: Case, **account: Any) -> AsyncIterator[Customer]:
    async with running_receiver() as receiver:
        keys = {"provider": case.provider, "api_key": KEY, "callback_url": receiver.url}
        opened = Account(**{**keys, **case.account, **account})
        async with (
            running_simulator([opened]) as base_url,
            httpx.AsyncClient(base_url=base_url, headers=CONTROL) as client,
        ):
            yield Customer(case, client, receiver)


def case_of(provider: str) -> Case:
    return next(case for case in CASES if case.provider == provider)
