"""The one place that knows every room: from settings to a running receiver."""

import difflib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import structlog
from sqlalchemy import func
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel import col, select
from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

from models import Payload
from receiver import api, db, secrets
from receiver.api.context import Context
from receiver.attachments import Attachments
from receiver.auth import Auth
from receiver.config import ChannelSettings, ConfigError, Settings
from receiver.ingest import Ingest
from receiver.intervene import Interventions
from receiver.media import Files, Links, Store
from receiver.providers import PROVIDERS
from receiver.providers.base import Provider
from receiver.submit import Submit
from receiver.templates import Templates
from receiver.unverified import UnverifiedStore
from receiver.webhooks import PREFIX, Webhooks

log = structlog.get_logger()


class App:
    """The receiver as ASGI: carriers' doors straight to `Webhooks`, everything else through Starlette.

    *settings* names its database: an embedded one has been started and filled in by then.
    """

    def __init__(self, settings: Settings) -> None:
        providers = providers_of(settings)
        keys = secrets.load(settings)
        self._settings, self._secrets = settings, keys
        self._engine = db.engine(settings.database_url, settings.db_schema)
        store = Store(settings.data_dir, Links(keys, settings.public_url))
        files = Files(self._engine, store)
        self._ingest = Ingest(settings.database_url, settings.db_schema, store)
        self._submit = Submit(
            settings, providers, Templates(self._engine, settings.db_schema), Attachments(files)
        )
        self._webhooks = Webhooks(
            settings, providers, self._ingest, keys, UnverifiedStore(lambda: _count_unverified(self._engine))
        )
        self._pages = Starlette(
            routes=api.routes(),
            middleware=api.middleware(),
            exception_handlers=api.exception_handlers(),
            lifespan=self._lifespan,
        )
        self._pages.state.context = Context(
            settings=settings,
            engine=self._engine,
            submit=self._submit,
            interventions=Interventions(settings.database_url, settings.db_schema),
            auth=Auth(self._engine, keys, rate=settings.api_rate),
            files=files,
            ready=self._ready,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(PREFIX):
            await self._webhooks(scope, receive, send)
        else:
            await self._pages(scope, receive, send)

    @asynccontextmanager
    async def _lifespan(self, pages: Starlette) -> AsyncIterator[None]:
        await db.check(self._settings.database_url, self._settings.db_schema)
        await self._secrets.check(self._engine)
        self._ingest.open()
        self._submit.open()
        try:
            yield
        finally:
            await self._submit.close()
            await self._ingest.close()
            await self._engine.dispose()

    async def _ready(self) -> bool:
        async with self._engine.connect() as connection:
            await connection.execute(select(1))
        return True


def providers_of(settings: Settings) -> Mapping[str, Provider]:
    """The providers, when each channel has only keys that its own knows. Raises ``ConfigError``."""
    for channel in settings.channels.values():
        _check_keys(channel)
    return PROVIDERS


def _check_keys(channel: ChannelSettings) -> None:
    provider = PROVIDERS.get(channel.provider)
    if provider is None:
        raise ConfigError(
            f'channels.{channel.name}.provider is "{channel.provider}"; the known ones are '
            f"{', '.join(sorted(PROVIDERS))}."
        )
    if not (channel.authenticated or channel.insecure or provider.verifies_signatures):
        raise ConfigError(
            f"channels.{channel.name} has no authentication: {channel.provider} signs no callbacks, so "
            "webhook_secret proves nothing; give it tokens, basic, bearer or allow_from, or say "
            "insecure = true."
        )
    wrong = provider.misconfigured(channel)
    if wrong:
        raise ConfigError(f"channels.{channel.name}: {wrong}")
    known = [*ChannelSettings.model_fields, "from", *provider.keys]
    for key in channel.extra:
        if key not in provider.keys:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.0)
            raise ConfigError(
                f'Unknown configuration key "channels.{channel.name}.{key}"; '
                f'the nearest known one is "{near[0]}".'
            )


async def _count_unverified(engine: AsyncEngine) -> int:
    async with engine.connect() as connection:
        counted = await connection.scalars(
            select(func.count()).select_from(Payload).where(col(Payload.state) == "unverified")
        )
        return counted.one()
