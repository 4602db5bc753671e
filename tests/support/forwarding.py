"""A receiver with subscribers, and forwarders in the event loop of the test."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import httpx
from starlette.responses import Response

from receiver import forward
from receiver.config import settings
from receiver.forward import Terms
from tests.support.app import App, Heard
from tests.support.beds import connect
from tests.support.patience import PATIENCE
from tests.support.receiver import CHANNELS
from tests.support.receiver import running as receiver_running
from tests.support.store import arrival, postback, store

QUICK = Terms(pauses=(0.1,) * 9, poll=0.02, flush=0.02, tick=0.1, lease=timedelta(seconds=2), deadline=1.0)


@dataclass
class Installed:
    """Everything but the forwarder, which a test starts in its own manner."""

    database_url: str
    data_dir: Path
    api: httpx.AsyncClient
    db: asyncpg.Connection
    forwarders: list[tuple[asyncio.Task[None], asyncio.Event]] = field(default_factory=list)

    def forward(self, terms: Terms = QUICK) -> None:
        stop = asyncio.Event()
        configured = settings(
            {
                "database_url": self.database_url,
                "secret_key": ["a secret key for tests"],
                "data_dir": str(self.data_dir),
                "private_networks": ["127.0.0.0/8"],
                "channels": CHANNELS,
            }
        )
        self.forwarders.append((asyncio.create_task(forward.run(configured, stop, terms)), stop))

    async def stop(self) -> None:
        for task, stop in self.forwarders:
            stop.set()
            await task
        self.forwarders.clear()

    async def subscribe(self, app: App | str, **wanted: Any) -> dict[str, Any]:
        url = app if isinstance(app, str) else app.url
        answer = await self.api.post("/v1/subscribers", json={"url": url, **wanted})
        assert 201 == answer.status_code, answer.text
        made: dict[str, Any] = answer.json()
        return made

    async def tell(self, *names: str, code: str = "N101") -> None:
        """An event of each message: *names* are tracking-ids."""
        for name in names:
            await store(self.db, [arrival(postback(code, name))])

    async def get(self, path: str, **query: str) -> Any:
        answer = await self.api.get(path, params=query)
        assert 200 == answer.status_code, answer.text
        return answer.json()

    async def post(self, path: str, **body: Any) -> Any:
        answer = await self.api.post(path, json=body or None)
        assert answer.is_success, answer.text
        return answer.json()

    async def until(self, path: str, within: float = PATIENCE, **wanted: Any) -> dict[str, Any]:
        """What *path* answers, once it is as *wanted*."""
        async with asyncio.timeout(within):
            while True:
                found: dict[str, Any] = await self.get(path)
                if wanted.items() <= found.items():
                    return found
                await asyncio.sleep(0.02)

    async def deliveries(self, subscriber: Mapping[str, Any], **query: str) -> list[dict[str, Any]]:
        """Oldest first."""
        found = await self.get(f"/v1/subscribers/{subscriber['id']}/deliveries", limit="200", **query)
        return list(reversed(found["data"]))

    async def written(
        self, subscriber: Mapping[str, Any], *states: str, within: float = PATIENCE
    ) -> list[dict[str, Any]]:
        """The deliveries, once they have these states."""
        async with asyncio.timeout(within):
            while True:
                found = await self.deliveries(subscriber)
                if list(states) == [one["state"] for one in found]:
                    return found
                await asyncio.sleep(0.02)


@asynccontextmanager
async def forwarding(database_url: str, tmp_path: Path) -> AsyncIterator[Installed]:
    async with receiver_running(
        database_url, data_dir=str(tmp_path), private_networks=["127.0.0.0/8"]
    ) as receiver:
        headers = {"authorization": f"Bearer {receiver.key}"}
        db = await connect(database_url)
        async with httpx.AsyncClient(base_url=receiver.url, headers=headers, timeout=PATIENCE) as api:
            made = Installed(database_url, tmp_path, api, db)
            yield made
            await made.stop()
        await db.close()


def answering(*statuses: int, headers: Mapping[str, str] | None = None) -> Any:
    """These in turn, then 204."""
    left = list(statuses)

    async def manner(_: Heard) -> Response:
        return Response(b"as ordered", left.pop(0) if left else 204, headers)

    return manner
