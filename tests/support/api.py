"""The API as an app of its own, over a real database and with a submit that only writes down."""

import atexit
import tempfile
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel import insert
from starlette.applications import Starlette
from uuid_utils.compat import uuid7

from models import Template
from models.base import SCHEMA
from receiver import api, db
from receiver.auth import Auth, create_key
from receiver.config import Settings
from receiver.intervene import Interventions
from receiver.media import Files, Links, Store
from receiver.media.disk import Disk
from receiver.metrics.questions import Questions
from receiver.metrics.scrape import Scrape
from receiver.metrics.sheet import Sheet
from receiver.optouts import OptOuts
from receiver.our_numbers import OurNumbers
from receiver.providers import PROVIDERS
from receiver.pulse import Pulse
from receiver.reader import Reader
from receiver.redactions import Redactions
from receiver.replay import Replay
from receiver.replies import Replies
from receiver.requests import SendRequest, Sent, TemplateRequest
from receiver.secrets import Secrets
from receiver.stream import Stream
from receiver.subscribers import Subscribers
from tests.support.records import CHANNEL, PROVIDER, accept, outgoing

SECRETS = Secrets(["a secret key for tests"])
LINKS = Links(SECRETS, "", 7)
_uploads = tempfile.TemporaryDirectory(prefix="postback-tests-")
atexit.register(_uploads.cleanup)


@dataclass
class RecordingSubmit:
    """Accepts everything; what it was asked stands in *calls*."""

    database_url: str
    engine: AsyncEngine
    calls: list[dict[str, Any]] = field(default_factory=list)
    refusal: Exception | None = None
    replayed: bool = False

    async def send(self, request: SendRequest, **given: Any) -> Sent:
        self.calls.append({"request": request, **given})
        if self.refusal:
            raise self.refusal
        rows = (
            outgoing(to, text=request.text, client_reference=request.client_reference) for to in request.to
        )
        return Sent(await accept(self.database_url, *rows), replayed=self.replayed)

    async def save_template(self, request: TemplateRequest, **given: Any) -> UUID:
        template_id = uuid7()
        content = request.model_dump(mode="json", exclude={"channel", "name", "media"})
        content["media"] = [
            {"url": source.url or f"https://sms.example.com/media/{source.id}", "content_type": None}
            for source in request.media
        ]
        values = {
            "id": template_id,
            "origin": "api",
            "channel": request.channel,
            "provider": PROVIDER,
            "name": request.name,
            "content": content,
            "state": "pending",
            "updated_at": datetime.now(UTC),
        }
        async with self.engine.begin() as connection:
            await connection.execute(insert(Template).values(values))
        return template_id


@dataclass
class Api:
    app: Starlette
    client: httpx.AsyncClient
    engine: AsyncEngine
    submit: RecordingSubmit
    health: list[bool]

    async def key(self, *scopes: str, channels: Collection[str] | None = None) -> dict[str, str]:
        """The headers of a new key."""
        name = "tests" if channels is None else f"tests of {', '.join(sorted(channels))}"
        key = await create_key(self.engine, SECRETS, name=name, scopes=scopes, channels=channels)
        return {"Authorization": f"Bearer {key}"}

    async def get(self, path: str, **options: Any) -> Any:
        """The JSON of a GET that succeeds."""
        response = await self.client.get(path, **options)
        assert response.status_code == 200, response.text
        return response.json()


def _engine(database_url: str) -> AsyncEngine:
    return db.engine(database_url, SCHEMA, size=0)


def build(
    database_url: str, *, rate: int = 10_000
) -> tuple[Starlette, AsyncEngine, RecordingSubmit, list[bool]]:
    engine = _engine(database_url)
    submit = RecordingSubmit(database_url, engine)
    health = [True]

    async def ready() -> bool:
        return health[0]

    settings = Settings(database_url=database_url)
    replies = Replies(settings, PROVIDERS)
    reader = Reader(database_url, SCHEMA, replies, LINKS)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await reader.close()

    app = api.app(lifespan)
    files = Files(engine, Store(Disk(Path(_uploads.name)), LINKS))
    app.state.context = api.Context(
        settings=settings,
        engine=engine,
        reader=reader,
        submit=submit,
        interventions=Interventions(database_url, SCHEMA),
        auth=Auth(engine, SECRETS, rate),
        files=files,
        stream=Stream(reader, Redactions(database_url, SCHEMA)),
        opt_outs=OptOuts(),
        our_numbers=OurNumbers(settings.channels, PROVIDERS),
        pulse=Pulse(lambda: db.connect(database_url)),
        replies=replies,
        replay=Replay(settings, PROVIDERS, SECRETS, None),
        subscribers=Subscribers(engine, SECRETS),
        ready=ready,
        scrape=Scrape(
            Sheet(Path(_uploads.name), "receiver"), Questions(database_url, SCHEMA, [CHANNEL]), [CHANNEL]
        ),
    )
    return app, engine, submit, health


@asynccontextmanager
async def running(database_url: str, *, rate: int = 10_000) -> AsyncIterator[Api]:
    """The API with a client whose key has every scope."""
    app, engine, submit, health = build(database_url, rate=rate)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://postback") as client:
        served = Api(app, client, engine, submit, health)
        client.headers.update(await served.key("read", "send", "admin"))
        yield served
    await app.state.context.reader.close()
    await app.state.context.auth.close()
    await engine.dispose()


__all__ = ["CHANNEL", "SECRETS", "Api", "build", "running"]
