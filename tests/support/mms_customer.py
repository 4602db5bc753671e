"""Somebody with an account at the practice carrier of Sinch MMS, and the same carrier in process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from simulator.app import Account, create
from tests.support.carrier import CONTROL, PRACTICE_KEY, Receiver, running_receiver, running_simulator

KEY = "practice-key"


def sendmms(**fields: Any) -> dict[str, Any]:
    """A request that the carrier accepts, with *fields* changed; an underscore stands for a hyphen."""
    changed = {name.replace("_", "-"): value for name, value in fields.items()}
    request = {
        "action": "sendmms",
        "to": "12065550123",
        "from": "18885551234",
        "fallback-sms-text": "You have a picture",
        "client-reference": "ord-7f3c1a",
        "slide": [{"message-text": "Hello"}],
    } | changed
    return {name: value for name, value in request.items() if value is not ...}


class Customer:
    """Somebody with an account: sends, orders faults, and looks at what came back."""

    def __init__(self, client: httpx.AsyncClient, receiver: Receiver) -> None:
        self.http = client
        self.receiver = receiver

    async def post(self, request: dict[str, Any]) -> httpx.Response:
        return await self.http.post("/ep/v2/", json=request, headers={"x-api-key": KEY})

    async def send(self, **fields: Any) -> Any:
        response = await self.post(sendmms(**fields))
        assert 200 == response.status_code
        return response.json()

    async def order(self, **faults: Any) -> Any:
        response = await self.http.post("/practice/faults", json=faults)
        assert 201 == response.status_code, response.text
        return response.json()

    async def codes(self, number: int) -> list[str]:
        return [body["code"] for body in await self.receiver.first(number)]

    async def journal(self, kind: str) -> Any:
        return (await self.http.get("/practice/journal", params={"kind": kind})).json()["data"]


@asynccontextmanager
async def a_customer() -> AsyncIterator[Customer]:
    async with running_receiver() as receiver:
        account = Account(provider="sinch_mms", api_key=KEY, callback_url=receiver.url)
        async with (
            running_simulator([account]) as base_url,
            httpx.AsyncClient(base_url=base_url, headers=CONTROL) as client,
        ):
            yield Customer(client, receiver)


@asynccontextmanager
async def a_desk() -> AsyncIterator[httpx.AsyncClient]:
    """A carrier in process, without callbacks."""
    account = Account(api_key=KEY, callback_url=None, service_id="4711")
    app = create([account], key=PRACTICE_KEY, hosts=["carrier"], pace=0)
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=transport, base_url="http://carrier", headers={**CONTROL, "x-api-key": KEY}
        ) as client,
    ):
        yield client
