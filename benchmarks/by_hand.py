"""What one writes in an afternoon: a session per request, the message looked up, an event added, committed.

It is no straw man: it answers after the commit, as it must, and has the index that it needs. It knows no
duplicates, no order, no stranger, no raw request, and two reports on one message at once lose an update.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial

from sqlalchemy import DateTime
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel, col, select
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from benchmarks.traffic import PATH, Known
from receiver import db

STATUSES = {"N101": "sent", "N102": "delivered"}


class Table(SQLModel, registry=registry()):
    """Tables of our own, apart from Postback's."""


class Message(Table, table=True):
    id: int | None = Field(default=None, primary_key=True)
    tracking_id: str = Field(unique=True)
    recipient: str
    status: str
    updated_at: datetime = Field(sa_type=DateTime(timezone=True))


class Event(Table, table=True):
    id: int | None = Field(default=None, primary_key=True)
    message_id: int = Field(foreign_key="message.id", index=True)
    code: str
    status: str
    details: str
    occurred_at: datetime = Field(sa_type=DateTime(timezone=True))


def create(database_url: str) -> Starlette:
    engine = create_async_engine("postgresql+asyncpg://", async_creator=partial(db.connect, database_url))
    sessions = async_sessionmaker(engine, class_=AsyncSession, expire_on_commit=False)

    async def report(request: Request) -> Response:
        fields = await request.json()
        async with sessions() as session:
            found = await session.scalars(
                select(Message).where(col(Message.tracking_id) == fields["tracking-id"])
            )
            message = found.one()
            message.status = STATUSES[fields["code"]]
            message.updated_at = datetime.now(UTC)
            session.add(
                Event(
                    message_id=message.id or 0,
                    code=fields["code"],
                    status=fields["status"],
                    details=fields["status-details"],
                    occurred_at=datetime.fromisoformat(fields["timestamp"]),
                )
            )
            await session.commit()
        return JSONResponse({"status": "ok"})

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        await engine.dispose()

    return Starlette(routes=[Route(PATH, report, methods=["POST"])], lifespan=lifespan)


async def prepare(database_url: str, messages: Sequence[Known]) -> None:
    """The tables, with *messages* in them."""
    engine = create_async_engine("postgresql+asyncpg://", async_creator=partial(db.connect, database_url))
    async with engine.begin() as connection:
        await connection.run_sync(Table.metadata.create_all)
    await engine.dispose()
    connection = await db.connect(database_url)
    now = datetime.now(UTC)
    await connection.copy_records_to_table(
        "message",
        columns=("tracking_id", "recipient", "status", "updated_at"),
        records=[(message.tracking_id, message.contact, "queued", now) for message in messages],
    )
    await connection.close()
