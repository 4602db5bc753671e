"""The limit of a lookup: a bare Starlette route that selects a message by its primary key, and answers JSON.

No key is asked for, nothing but the one row is read, and no word of it is explained.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import asyncpg
import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


def create(database_url: str) -> Starlette:
    async def message(request: Request) -> Response:
        pool: asyncpg.Pool = request.app.state.pool
        row = await pool.fetchrow(
            "SELECT * FROM postback.message WHERE id = $1", UUID(request.path_params["id"])
        )
        return Response(orjson.dumps(dict(row or {}), default=str), media_type="application/json")

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with asyncpg.create_pool(database_url, min_size=10, max_size=10) as pool:
            app.state.pool = pool
            yield

    return Starlette(routes=[Route("/v1/messages/{id}", message)], lifespan=lifespan)
