"""A whole installation in the test's event loop: receiver, sender and practice carrier, over real HTTP."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from postback import practice
from receiver import auth, config, db, secrets
from receiver.app import App
from receiver.channel_checks import providers_of
from receiver.config import Settings
from sender import loop
from simulator.app import Account
from tests.support.carrier import CONTROL, running, running_simulator
from tests.support.patience import PATIENCE

CHANNEL, TOKEN, API_KEY = "sinch-us", "a-token-for-tests", "the-carriers-key"
US, THEM = "+18885551234", "+12065550123"


def channel_keys(provider: str, carrier_url: str) -> dict[str, Any]:
    """The keys of a channel that sends through the practice carrier of *provider* at *carrier_url*."""
    own: dict[str, dict[str, Any]] = {
        "sinch_mms": {"api_key": API_KEY, "base_url": f"{carrier_url}/ep/v2/"},
        "sinch_sms": {"api_token": API_KEY, "service_plan_id": "plan", "base_url": carrier_url},
        "swift": {
            "api_key": API_KEY,
            "sms_url": f"{carrier_url}/v1/sms",
            "mms_url": f"{carrier_url}/v1/mms",
        },
        "voicetel": {"api_key": API_KEY, "base_url": carrier_url},
        "cellcast": {"api_key": API_KEY, "base_url": f"{carrier_url}/api/v3"},
        "cellcast_v1": {"api_key": API_KEY, "base_url": carrier_url},
    }
    return {"provider": provider, "tokens": [TOKEN], "from": [US], **own[provider]}


class Installation:
    """What a person would do to it, through its API and the practice carrier's control routes."""

    def __init__(
        self, api: httpx.AsyncClient, carrier: httpx.AsyncClient, settings: Settings, account: Account | None
    ) -> None:
        self.api, self.carrier, self.settings, self._account = api, carrier, settings, account
        self._sender: tuple[asyncio.Task[None], asyncio.Event] | None = None

    @property
    def account(self) -> Account:
        """The channel's account with the practice carrier."""
        assert self._account, "the channel leads elsewhere"
        return self._account

    async def send(self, to: str = THEM, **fields: Any) -> dict[str, Any]:
        """The message that was accepted for *to*."""
        answer = await self.api.post("/v1/messages", json={"to": to, "text": "Hello", **fields})
        assert 202 == answer.status_code, answer.text
        message: dict[str, Any] = answer.json()["data"][0]
        return message

    async def message(self, message_id: str) -> dict[str, Any]:
        answer = await self.api.get(f"/v1/messages/{message_id}")
        assert 200 == answer.status_code, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def until(self, message_id: str, *statuses: str, within: float = PATIENCE) -> dict[str, Any]:
        """The message once it has one of *statuses*. Raises ``TimeoutError``."""
        async with asyncio.timeout(within):
            while True:
                message = await self.message(message_id)
                if message["status"] in statuses:
                    return message
                await asyncio.sleep(0.01)

    async def event(self, message_id: str, kind: str, within: float = PATIENCE) -> dict[str, Any]:
        """The first event of type *kind* in the message's timeline. Raises ``TimeoutError``."""
        async with asyncio.timeout(within):
            while True:
                for event in (await self.message(message_id))["timeline"]:
                    if event["type"] == kind:
                        found: dict[str, Any] = event
                        return found
                await asyncio.sleep(0.01)

    async def order(self, **faults: Any) -> None:
        answer = await self.carrier.post("/practice/faults", json=faults)
        assert answer.is_success, answer.text

    async def listed(self, number: int, **query: str) -> list[dict[str, Any]]:
        """What *query* asks for, as soon as there are *number* of them. Raises ``TimeoutError``."""
        async with asyncio.timeout(PATIENCE):
            while True:
                answer = await self.api.get("/v1/messages", params={"limit": "200", **query})
                found: list[dict[str, Any]] = answer.json()["data"]
                if len(found) >= number:
                    return found
                await asyncio.sleep(0.02)

    async def journal(self) -> list[dict[str, Any]]:
        """The sends that the carrier received."""
        entries = (await self.carrier.get("/practice/journal")).json()["data"]
        return [entry for entry in entries if entry["kind"] == "request"]

    async def hook(self, body: bytes) -> httpx.Response:
        return await self.api.post(f"/hooks/{CHANNEL}/{TOKEN}", content=body)

    def start_sender(self) -> None:
        stop = asyncio.Event()
        running_sender = loop.run(self.settings, providers_of(self.settings), stop)
        self._sender = (asyncio.create_task(running_sender), stop)

    async def stop_sender(self) -> None:
        if self._sender:
            task, stop = self._sender
            stop.set()
            await task
            self._sender = None


@asynccontextmanager
async def installation(
    database_url: str, provider: str = "sinch_mms", *, sender: bool = True, **channel: Any
) -> AsyncIterator[Installation]:
    """One channel to *provider*'s practice carrier; *channel* are further keys of it, "from" included."""
    with TemporaryDirectory() as data_dir:
        async with _installation(database_url, provider, data_dir, sender=sender, **channel) as installed:
            yield installed


@asynccontextmanager
async def _installation(
    database_url: str, provider: str, data_dir: str, *, sender: bool, **channel: Any
) -> AsyncIterator[Installation]:
    async with running_simulator([]) as carrier_url:
        settings = config.settings(
            {
                "database_url": database_url,
                "data_dir": data_dir,
                "secret_key": "a secret key for tests",
                "channels": {CHANNEL: {**channel_keys(provider, carrier_url), **channel}},
            }
        )
        async with running(App(settings)) as url:
            headers = {"authorization": f"Bearer {await key_of(settings)}"}
            async with (
                httpx.AsyncClient(base_url=url, headers=headers, timeout=PATIENCE) as api,
                httpx.AsyncClient(base_url=carrier_url, headers=CONTROL, timeout=PATIENCE) as carrier,
            ):
                # a channel whose address the test has changed leads elsewhere, and has none
                account = next(iter(practice.accounts(settings, url, carrier_url)), None)
                if account is not None:
                    opened = await carrier.post("/practice/accounts", json=account.model_dump())
                    assert opened.is_success, opened.text
                installed = Installation(api, carrier, settings, account)
                if sender:
                    installed.start_sender()
                try:
                    yield installed
                finally:
                    await installed.stop_sender()


async def key_of(settings: Settings, name: str = "test", channels: list[str] | None = None) -> str:
    """Returns a new API key with all scopes."""
    engine = db.engine(settings.database_url, settings.db_schema, size=1)
    try:
        return await auth.create_key(
            engine, secrets.load(settings), name=name, scopes=list(auth.Scope), channels=channels
        )
    finally:
        await engine.dispose()
