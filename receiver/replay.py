"""Reads kept payloads again, with today's providers and settings, and writes what they say now.

What a payload said before and says no longer is superseded; its messages are folded again from what stands
(``receiver/sql/replay.sql``). Nothing is written where nothing changes, so a replay may be repeated, stopped
and started again at any place. A dry run is the same work, taken back before it is committed.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from receiver import db, kept, optouts
from receiver.config import Settings
from receiver.correlate import others_of
from receiver.db import Connection
from receiver.db.statement_errors import is_busy, is_unwell, said
from receiver.kept import KeptPayload, Selection
from receiver.media import Store
from receiver.providers.base import Provider
from receiver.replayed import Filed, Summary
from receiver.replayed import summary as summary_of
from receiver.reread import Reader, Reading, as_it_was, payload_row, poisoned
from receiver.rows import EventRow, new_id
from receiver.secrets import Secrets
from receiver.sql import qualified
from receiver.together import groups

#: payloads per transaction
BATCH = 20
START = UUID(int=0)
_DRY, _MISSING, _REMOVED = "PB001", "PB002", "PB003"
_NOTHING = {"payloads": [], "messages": [], "superseded": 0}
#: tries of a transaction whose messages others hold, a growing pause apart
_TRIES = 20


class Replay:
    """*store* takes files that came inside the requests."""

    def __init__(
        self, settings: Settings, providers: Mapping[str, Provider], secrets: Secrets, store: Store | None
    ) -> None:
        self._url, self._schema = settings.database_url, settings.db_schema
        self._reader = Reader(
            settings.channels, providers, secrets, optouts.configured(settings, secrets), store
        )
        self._replay = qualified(
            "SELECT postback.replay($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)", settings.db_schema
        )
        self._located = qualified(
            "SELECT own, referenced FROM postback.located(postback.pinned(postback.spread($1)))",
            settings.db_schema,
        )

    async def count(self, selection: Selection) -> int:
        async with db.connected(self._url) as connection:
            return await kept.count(connection, selection, self._schema)

    async def run(
        self,
        selection: Selection,
        *,
        after: UUID = START,
        most: int | None = None,
        rate: float | None = None,
    ) -> AsyncIterator[Summary]:
        """Replays *selection* after the payload *after*, oldest first, *most* payloads of it, at *rate* a
        second. Yields what each committed batch came to; whoever stops listening stops it there."""
        async with db.connected(self._url) as connection:
            async for payloads in self._pages(connection, selection, after, most):
                began = time.monotonic()
                yield await self._written(connection, [await self._reader.read(one) for one in payloads])
                if rate:
                    await asyncio.sleep(max(0.0, began + len(payloads) / rate - time.monotonic()))

    async def predict(
        self, selection: Selection, *, after: UUID = START, most: int | None = None
    ) -> AsyncIterator[Summary]:
        """What `run` would come to, while nothing is written.

        Payloads that meet in a message are taken together, so that the second one sees what the first would
        have done. They have to be known first: empty summaries come while they are looked through.
        """
        async with db.connected(self._url) as connection:
            names: dict[UUID, frozenset[Any]] = {}
            async for payloads in self._pages(connection, selection, after, most):
                for payload in payloads:
                    names[payload.id] = await self._names(connection, payload)
                yield Summary()
            for together in groups(names):
                found = await kept.page(
                    connection, Selection(ids=together), START, len(together), self._schema
                )
                readings = [await self._reader.read(one, files=False) for one in found]
                yield await self._written(connection, readings, dry=True)

    async def _pages(
        self, connection: Connection, selection: Selection, after: UUID, most: int | None
    ) -> AsyncIterator[list[KeptPayload]]:
        left = most
        while left is None or left > 0:
            size = BATCH if left is None else min(BATCH, left)
            payloads = await kept.page(connection, selection, after, size, self._schema)
            if not payloads:
                return
            yield payloads
            after = payloads[-1].id
            left = None if left is None else left - len(payloads)

    async def _names(self, connection: Connection, payload: KeptPayload) -> frozenset[Any]:
        """Everything by which *payload* may meet another one in a message."""
        events = (await self._reader.read(payload, files=False)).rows.events
        found = await connection.fetch(self._located, events) if events else []
        return frozenset(
            [
                *payload.message_ids,
                *(named for row in found for named in row.values() if named),
                *((e.channel, e.provider_message_id) for e in events if e.provider_message_id),
                *(e.submission_id for e in events if e.submission_id),
                *((e.channel, e.our_number, e.contact) for e in events if e.guess_since),
            ]
        )

    async def _written(
        self, connection: Connection, readings: Sequence[Reading], *, dry: bool = False
    ) -> Summary:
        summary = Summary()
        for one in readings:
            if one.left:
                state = one.payload.state
                summary.payloads[one.payload.id] = Filed(one.payload.id, state, state, one.reason)
        changing = [one for one in readings if not one.left]
        if changing:
            summary.add(await self._halved(connection, changing, dry))
        return summary

    async def _halved(self, connection: Connection, readings: Sequence[Reading], dry: bool) -> Summary:
        """A poisoned payload fails alone: it stays, or becomes, quarantined."""
        try:
            return summary_of(await self._tried(connection, readings, dry))
        except asyncpg.PostgresError as error:
            if is_unwell(error) or is_busy(error):
                raise
            if len(readings) == 1:
                (one,) = readings
                failed = poisoned(one.payload, said(error))
                if failed.left or not one.rows.events:
                    return await self._written(connection, [as_it_was(one.payload, failed.reason)], dry=dry)
                return await self._written(connection, [failed], dry=dry)
        middle = len(readings) // 2
        summary = await self._halved(connection, readings[:middle], dry)
        summary.add(await self._halved(connection, readings[middle:], dry))
        return summary

    async def _tried(self, connection: Connection, readings: Sequence[Reading], dry: bool) -> Any:
        witnesses: dict[UUID, list[EventRow]] = {}
        for number in range(_TRIES):
            if not readings:
                return _NOTHING
            try:
                return orjson.loads(await self._call(connection, readings, witnesses, dry))
            except asyncpg.PostgresError as error:
                if error.sqlstate == _DRY:
                    return orjson.loads(error.detail)
                if error.sqlstate == _REMOVED:
                    removed = set(map(UUID, orjson.loads(error.detail)))
                    readings = [one for one in readings if one.payload.id not in removed]
                    witnesses = {named: rows for named, rows in witnesses.items() if named not in removed}
                elif error.sqlstate == _MISSING:
                    for named in orjson.loads(error.detail):
                        witnesses[UUID(named)] = []
                    selection = Selection(ids=list(witnesses))
                    for payload in await kept.page(
                        connection, selection, START, len(witnesses), self._schema
                    ):
                        witnesses[payload.id] = (await self._reader.read(payload, files=False)).rows.events
                elif not is_busy(error) or number == _TRIES - 1:
                    raise
                else:
                    await asyncio.sleep(0.01 * (number + 1))
        raise asyncpg.SerializationError("the messages of these payloads kept changing")

    async def _call(
        self,
        connection: Connection,
        readings: Sequence[Reading],
        witnesses: Mapping[UUID, Sequence[EventRow]],
        dry: bool,
    ) -> str:
        answer: str = await connection.fetchval(
            self._replay,
            [payload_row(one) for one in readings],
            [row for one in readings for row in one.rows.events],
            [row for one in readings for row in one.rows.inbounds],
            [row for one in readings for row in one.rows.files],
            [row for one in readings for row in one.rows.templates],
            others_of(one.rows for one in readings),
            list(witnesses),
            [row for events in witnesses.values() for row in events],
            new_id(),
            dry,
        )
        return answer
