"""The whole receiver under its real server, on a free loopback port, in the event loop of the test."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urljoin, urlsplit

import asyncpg
import httpx

from receiver.app import App
from receiver.auth import create_key
from receiver.config import Settings, settings
from receiver.protocol import BoundedProtocol
from receiver.serve import bind, config
from simulator.server import Server
from tests.support.beds import Bed, connect
from tests.support.patience import PATIENCE

CHANNEL = "sinch-us"
TOKEN = "a-long-random-string"
CHANNELS = {
    CHANNEL: {"provider": "sinch_mms", "tokens": [TOKEN], "from": ["+18885551234"], "api_key": "k"},
}


@dataclass
class Receiver:
    """*url* has no slash at its end; *key* is an API key with every scope; *client* is bound to nothing."""

    url: str
    key: str
    app: App
    settings: Settings
    client: httpx.AsyncClient
    server: Server

    async def rows(self, statement: str, *arguments: Any) -> list[asyncpg.Record]:
        """What a connection of the test's own sees."""
        connection = await connect(self.settings.database_url)
        try:
            found: list[asyncpg.Record] = await connection.fetch(statement, *arguments)
            return found
        finally:
            await connection.close()

    async def payloads(self) -> list[asyncpg.Record]:
        return await self.rows("SELECT * FROM postback.payload ORDER BY id")

    async def states(self) -> list[str]:
        return [row["state"] for row in await self.payloads()]

    async def empty(self) -> None:
        await empty(self.settings.database_url)

    def hook(self, channel: str = CHANNEL) -> str:
        """The callback URL to give the carrier."""
        tokens = self.settings.channels[channel].tokens
        return f"{self.url}/hooks/{channel}/{tokens[0] if tokens else 'any'}"

    def at(self, url: str) -> str:
        """*url* of an answer, which may be relative to ours."""
        return urljoin(f"{self.url}/", url)

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.url.removeprefix("http://").partition(":")
        return host, int(port)


@asynccontextmanager
async def running(
    database_url: str,
    channels: Mapping[str, Any] = CHANNELS,
    *,
    protocol: type[BoundedProtocol] = BoundedProtocol,
    grace: int = 8,
    **more: Any,
) -> AsyncIterator[Receiver]:
    """*channels* and *more* are what stands in ``postback.toml``; *grace* is in seconds. There is no spool
    unless *more* asks for one, and nobody else's file in the data directory."""
    with TemporaryDirectory() as data_dir:
        configured = settings(
            {
                "database_url": database_url,
                "secret_key": ["a secret key for tests"],
                "channels": dict(channels),
                "data_dir": data_dir,
                "spool": False,
                **more,
            }
        )
        async with _serving(configured, protocol, grace) as receiver:
            yield receiver


@asynccontextmanager
async def _serving(
    configured: Settings, protocol: type[BoundedProtocol], grace: int
) -> AsyncIterator[Receiver]:
    app = App(configured)
    with bind("127.0.0.1", 0) as sock:
        url = f"http://127.0.0.1:{sock.getsockname()[1]}"
        accepting = asyncio.Event()
        server = Server(config(app, configured, protocol=protocol, grace=grace), accepting=accepting.set)
        serving = asyncio.create_task(server.serve(sockets=[sock]))
        waiting = asyncio.create_task(accepting.wait())
        try:
            await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
            if serving.done():
                await serving
            key = await create_key(app._engine, app._secrets, name="tests", scopes=("read", "send", "admin"))
            limits = httpx.Limits(max_connections=None)
            async with httpx.AsyncClient(timeout=PATIENCE, trust_env=False, limits=limits) as client:
                yield Receiver(url, key, app, configured, client, server)
        finally:
            waiting.cancel()
            server.stop()
            await asyncio.wait({serving})
        await serving


async def copied(bed: Bed, template_url: str, name: str) -> str:
    """A migrated database for the tests of a module, where one for each would take most of their time."""
    return await bed.create(name, urlsplit(template_url).path.removeprefix("/"))


async def empty(database_url: str) -> None:
    """Takes out what was stored; few rows are gone faster than so many partitions are truncated."""
    await _execute(
        database_url,
        """DELETE FROM postback.payload; DELETE FROM postback.reference; DELETE FROM postback.event;
           DELETE FROM postback.message; DELETE FROM postback.message_body; DELETE FROM postback.media;
           DELETE FROM postback.conversation; DELETE FROM postback.attention""",
    )


async def _execute(url: str, statement: str) -> None:
    connection = await connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
