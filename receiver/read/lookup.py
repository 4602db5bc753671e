"""Many messages by any of their names, in one question."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlmodel import col

from models import Message, Reference
from models.reference import INTERNAL
from receiver.auth import Channels
from receiver.db import snapshot
from receiver.read import ids, shapes
from receiver.read.records import by_ids, visible, with_timelines
from receiver.requests import LookupRequest

#: messages answered with per name; a name of more is a list to page through
MOST_PER_NAME = 25


async def lookup(engine: AsyncEngine, request: LookupRequest, *, channels: Channels) -> shapes.LookupAnswer:
    """The messages of any of the names, newest first and each once, and the names that have none."""
    given = {text: named for text in request.ids if (named := ids.parse(text)) is not None}
    async with snapshot(engine) as session:
        by_id = await by_ids(session, given.values(), channels)
        by_client_reference = await _newest(
            session,
            request.client_references,
            lambda name: sa.select(col(Message.id)).where(
                col(Message.client_reference) == name, visible(channels)
            ),
        )
        by_provider_id = await _newest(
            session,
            request.provider_message_ids,
            lambda name: (
                sa.select(col(Message.id))
                .distinct()
                .join(Reference, col(Message.id) == col(Reference.message_id))
                .where(
                    col(Reference.provider_message_id) == name,
                    col(Reference.provider_message_id).not_like(f"{INTERNAL}%"),
                    visible(channels),
                )
            ),
        )
        found = {row.id: row for row in by_id.values()}
        for rows in (*by_client_reference.values(), *by_provider_id.values()):
            found |= {row.id: row for row in rows}
        return shapes.LookupAnswer(
            data=await with_timelines(session, [found[key] for key in sorted(found, reverse=True)]),
            missing=shapes.Missing(
                ids=[text for text in request.ids if given.get(text) not in by_id],
                provider_message_ids=[n for n in request.provider_message_ids if n not in by_provider_id],
                client_references=[n for n in request.client_references if n not in by_client_reference],
            ),
        )


async def _newest(
    session: AsyncSession, names: Sequence[str], of: Callable[[Any], sa.Select[UUID]]
) -> dict[str, list[Message]]:
    """The newest messages of each of *names*; *of* selects the ids of one name's."""
    if not names:
        return {}
    given = sa.func.unnest(sa.literal(list(names), sa.ARRAY(sa.Text))).table_valued("name").render_derived()
    newest = of(given.c.name).correlate(given).order_by(col(Message.id).desc()).limit(MOST_PER_NAME).lateral()
    query = (
        sa.select(given.c.name, Message)
        .select_from(given)
        .join(newest, sa.true())
        .join(Message, col(Message.id) == newest.c.id)
    )
    found: dict[str, list[Message]] = defaultdict(list)
    for named, row in await session.execute(query):
        found[named].append(row)
    return found
