"""The one place that knows every room: from settings to a running receiver."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import structlog
from sqlalchemy.exc import DBAPIError
from sqlmodel import select
from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

from receiver import api, db, generation, optouts, secrets, spool, spooled
from receiver.api.context import Context
from receiver.attachments import Attachments
from receiver.auth import Auth
from receiver.channel_checks import providers_of
from receiver.commit import PATIENCE
from receiver.config import Settings
from receiver.drain import Drain
from receiver.idempotency import Replays
from receiver.in_hand import IN_HAND, InHand
from receiver.ingest import Ingest
from receiver.intervene import Interventions
from receiver.media import Files, store_of
from receiver.metrics.questions import Questions
from receiver.metrics.scrape import Scrape
from receiver.metrics.sheet import Sheet, recording
from receiver.our_numbers import OurNumbers
from receiver.problems import not_found
from receiver.pulse import Pulse, Silent
from receiver.reader import Reader
from receiver.redactions import Redactions
from receiver.replay import Replay
from receiver.replies import Replies
from receiver.spool import Spool
from receiver.stream import Stream
from receiver.submit import Submit
from receiver.subscribers import Subscribers
from receiver.templates import Templates
from receiver.turns import Turns
from receiver.unverified import UnverifiedStore
from receiver.unverified_table import UnverifiedTable
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
        store = store_of(settings, keys)
        files = Files(self._engine, store)
        opt_outs = optouts.configured(settings, keys)
        self._spool = Spool(spool.directory(settings.data_dir.absolute())) if settings.spool else None
        self._ingest = Ingest(settings.database_url, settings.db_schema, store, opt_outs, self._spool)
        again = spooled.reader(settings.channels, providers)
        self._drain = Drain(self._spool, self._ingest, again, self._check) if self._spool else None
        self._submit = Submit(
            settings,
            providers,
            Templates(self._engine, settings.db_schema),
            Attachments(files, settings.private_networks),
            opt_outs,
            Replays(self._engine),
        )
        largest = max((channel.max_body for channel in settings.channels.values()), default=1)
        self._in_hand = InHand(largest)
        self._webhooks = Webhooks(
            settings,
            providers,
            self._ingest,
            keys,
            UnverifiedStore(UnverifiedTable(self._engine), away=lambda: self._ingest.away),
            self._in_hand,
        )
        replies = Replies(settings, providers)
        self._reader = Reader(settings.database_url, settings.db_schema, replies, store.links)
        self._stream = Stream(self._reader, Redactions(settings.database_url, settings.db_schema))
        self._pulse = Pulse(lambda: db.connect(settings.database_url))
        self._turns = Turns()
        self._sheet = Sheet(settings.data_dir, "receiver")
        self._auth = Auth(self._engine, keys, rate=settings.api_rate)
        self._pages = api.app(self._lifespan)
        self._pages.state.context = Context(
            settings=settings,
            engine=self._engine,
            reader=self._reader,
            submit=self._submit,
            interventions=Interventions(settings.database_url, settings.db_schema),
            opt_outs=opt_outs,
            our_numbers=OurNumbers(settings.channels, providers),
            pulse=self._pulse,
            replies=replies,
            auth=self._auth,
            files=files,
            stream=self._stream,
            replay=Replay(settings, providers, keys, store),
            subscribers=Subscribers(self._engine, keys),
            ready=self._ready,
            scrape=Scrape(
                self._sheet,
                Questions(settings.database_url, settings.db_schema, list(settings.channels)),
                settings.channels,
            ),
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self._is_elsewhere(scope):
            await not_found().response()(scope, receive, send)
        elif scope["type"] == "http" and scope["path"].startswith(PREFIX):
            await self._webhooks(scope, receive, send)
        elif scope["type"] == "http":
            await self._turns.come()
            body = scope[IN_HAND] = self._in_hand.of_api()
            try:
                await self._pages(scope, receive, send)
            finally:
                body.answered()
        else:
            await self._pages(scope, receive, send)

    def _is_elsewhere(self, scope: Scope) -> bool:
        """Whether the path is served at the other one of the two addresses."""
        listening = self._settings.metrics_listen
        if not listening:
            return False
        port = (scope.get("server") or ("", 0))[1]
        return (str(port) == listening.rpartition(":")[2]) != (scope["path"] in api.APART)

    @asynccontextmanager
    async def _lifespan(self, pages: Starlette) -> AsyncIterator[None]:
        if self._drain is None:
            await self._check()
        elif not await db.reached(self._check):
            self._ingest.away = True
        async with recording(self._sheet):
            self._ingest.open()
            self._submit.open()
            if self._drain:
                await self._drain.open(checked=not self._ingest.away)
            try:
                yield
            finally:
                await self._pulse.close()
                if self._drain:
                    await self._drain.close()
                self._stream.close()
                await self._stream.finish()
                await self._submit.close()
                await self._ingest.close()
                await self._auth.close()
                with suppress(TimeoutError):  # a frozen server does not even say goodbye
                    async with asyncio.timeout(PATIENCE):
                        await self._engine.dispose()
                await self._reader.close()

    def hush(self) -> None:
        """Ends the streams of all who listen: they would hold up the end of the server."""
        self._stream.close()

    async def _check(self) -> None:
        """Whether the database is ours to write to. Raises ``DatabaseError`` and ``ConfigError``."""
        await db.check(self._settings.database_url, self._settings.db_schema)
        await generation.check(self._settings.database_url, self._settings.db_schema)
        await self._secrets.check(self._engine)

    async def _ready(self) -> bool:
        if self._spool and self._spool.usable:
            return True
        if self._ingest.away:
            return False
        try:
            await self._pulse.heed(self._reaches_postgres())
        except (Silent, OSError, DBAPIError):
            return False
        return True

    async def _reaches_postgres(self) -> None:
        async with self._engine.connect() as connection:
            await connection.execute(select(1))
