"""Messages of which no report came in time: the carrier is asked where it can be, then the wait ends.

A message that stays silent ends ``unconfirmed``; a report that comes later still wins.
"""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import asyncpg
import structlog
from uuid_utils.compat import uuid7

from models.reference import INTERNAL
from models.status import Status, bits
from receiver import db
from receiver.answered import Asked
from receiver.config import Settings
from receiver.correlate import key
from receiver.http import AnswerLost, Client, NotSent
from receiver.providers.base import Provider
from receiver.rows import EventRow
from receiver.sql import qualified
from sender.answers import Answers

log = structlog.get_logger()

#: seconds between looks, messages per look, and how long another sender leaves them to this one
LOOK, MOST, LEASE = 1.0, 100, timedelta(minutes=2)


class Silence:
    def __init__(
        self,
        settings: Settings,
        providers: Mapping[str, Provider],
        client: Client,
        answers: Mapping[str, Answers],
    ) -> None:
        self._settings, self._providers = settings, providers
        self._client, self._answers = client, answers
        self._overdue = qualified("SELECT * FROM postback.overdue($1, $2)", settings.db_schema)
        self._give_up = qualified("SELECT postback.give_up($1)", settings.db_schema)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                while await self._look() == MOST:
                    pass
            except Exception as error:  # noqa: BLE001 - the database is away: look again
                log.warning("cannot look for silent messages", reason=f"{type(error).__name__}: {error}")
            await asyncio.sleep(LOOK)

    async def _look(self) -> int:
        async with db.connected(self._settings.database_url) as connection:
            rows = await connection.fetch(self._overdue, MOST, LEASE, timeout=5)
            for row in rows:
                await self._ask(row)
            if rows:
                await connection.fetch(self._give_up, [_unconfirmed(row) for row in rows], timeout=5)
        return len(rows)

    async def _ask(self, row: asyncpg.Record) -> None:
        """Puts the question where the carrier can be asked; its answer is stored like a report."""
        channel = self._settings.channels.get(row["channel"])
        names = [name for name in row["provider_message_ids"] if not name.startswith(INTERNAL)]
        if channel is None or not names:
            return
        provider = self._providers[channel.provider]
        call = provider.ask(names[0], row["contact"] or "", channel)
        if call is None:
            return
        try:
            answer = await self._client.call(call)
        except (NotSent, AnswerLost) as error:
            log.warning("no answer", channel=channel.name, id=str(row["message_id"]), reason=str(error))
            return
        await self._answers[channel.name].keep(Asked.QUESTION, answer)


def _unconfirmed(row: asyncpg.Record) -> EventRow:
    return EventRow(
        id=uuid7(),
        key=key("unconfirmed"),
        type=f"message.{Status.UNCONFIRMED}",
        channel=row["channel"],
        provider="",
        source="timer",
        received_at=datetime.now(UTC),
        status=Status.UNCONFIRMED,
        bits=bits(Status.UNCONFIRMED),
        attempt=0,
        message_id=row["message_id"],
    )
