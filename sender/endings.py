"""What ends by its time alone: sends that no sender takes, and calls of which nobody hears anything.

A send whose channel is configured no more is looked at by every sender, because none of them is its own. Each
ends it by time only, so senders with different channels may run beside each other.
"""

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from uuid import UUID

import structlog

from models.reference import INTERNAL
from models.status import Status
from receiver import db
from receiver.config import ChannelSettings, Settings
from receiver.db import Connection
from receiver.id_times import first_id
from receiver.intervene import decision
from receiver.outbox import PATIENCE
from receiver.sql import qualified
from receiver.waiting import Waiting

log = structlog.get_logger()
_waiting = Waiting("endings")

#: seconds between looks, and messages per statement
LOOK, MOST = 2.0, 100
#: between looks at sends of unknown channels, over all senders: each goes through all that wait, so many rows
#: per statement
TURN, SPACING = f"{INTERNAL}unsent", timedelta(seconds=30)
WALK, FIRST = 1000, UUID(int=0)
#: seconds for an answer of Postgres
ANSWER = 10.0


class Endings:
    def __init__(self, settings: Settings) -> None:
        self._url, self._channels = settings.database_url, settings.channels
        schema = settings.db_schema
        self._turn = qualified("SELECT postback.take_turn($1, $2)", schema)
        self._end_unsent = qualified("SELECT * FROM postback.end_unsent($1, $2, $3, $4)", schema)
        self._uncertain = qualified("SELECT * FROM postback.long_uncertain($1, $2, $3, $4)", schema)
        self._decide = qualified("SELECT postback.decide($1)", schema)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self._look()
            except Exception as error:  # noqa: BLE001 - the database is away: look again
                _waiting.failed(self, error)
            else:
                _waiting.worked(self)
            await asyncio.sleep(LOOK)

    async def _look(self) -> None:
        async with db.connected(self._url) as connection:
            if await connection.fetchval(self._turn, TURN, SPACING, timeout=ANSWER):
                await self._unsent(connection)
            for channel in self._channels.values():
                if channel.uncertain_becomes:
                    while await self._settle(connection, channel, Status(channel.uncertain_becomes)) == MOST:
                        pass

    async def _unsent(self, connection: Connection) -> None:
        """Ends sends of channels that this process does not know, going through the whole outbox."""
        before = first_id(datetime.now(UTC) - PATIENCE)
        place, ended = FIRST, Counter[str]()
        while place is not None:
            row = await connection.fetchrow(
                self._end_unsent, list(self._channels), before, place, WALK, timeout=ANSWER
            )
            place = row["last"]
            ended.update(row["channels"])
        for channel, sends in ended.items():
            log.warning("expired without a sender", channel=channel, sends=sends)

    async def _settle(self, connection: Connection, channel: ChannelSettings, becomes: Status) -> int:
        """Decides what has been uncertain for too long, as a person would; answers with their number."""
        since = datetime.now(UTC) - timedelta(seconds=channel.uncertain_after)
        found = await connection.fetch(
            self._uncertain, channel.name, since, first_id(since), MOST, timeout=ANSWER
        )
        decided = 0
        for row in found:
            event = decision(
                row["message_id"],
                channel.name,
                channel.provider,
                becomes,
                "timer",
                f"nothing was heard of it for {channel.uncertain_after} s",
            )
            if await connection.fetchval(self._decide, event, timeout=ANSWER):
                log.info("settled", id=str(row["message_id"]), channel=channel.name, status=str(becomes))
                decided += 1
        return decided
