"""Messages of which no report came in time: the carrier is asked where it can be, then the wait ends.

A message that stays silent ends ``unconfirmed``; a report that comes later still wins. The questions of each
channel go side by side, a few at a time, and no connection to Postgres is held meanwhile: a carrier that
hangs delays no other.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import asyncpg
import structlog
from uuid_utils.compat import uuid7

from models.reference import INTERNAL
from models.sends import Call
from models.status import Status, bits
from receiver import db, sendable
from receiver.answered import Asked
from receiver.config import ChannelSettings, Settings
from receiver.correlate import key
from receiver.http import AnswerLost, Client, NotSent
from receiver.http.calls import CALL_DEADLINE
from receiver.providers.base import Provider
from receiver.rows import EventRow
from receiver.sql import qualified
from receiver.waiting import Waiting
from sender.answers import Answers

log = structlog.get_logger()
_waiting = Waiting("silent messages")

#: seconds between looks, messages per look, and how long another sender leaves them to this one
LOOK, MOST, LEASE = 1.0, 100, timedelta(minutes=2)
#: questions that a channel's carrier is asked at a time, and that wait for that; what has no room comes again
#: when its lease is over
AT_ONCE, ROOM = 4, 100


@dataclass(frozen=True, slots=True)
class _Question:
    row: asyncpg.Record
    call: Call
    #: by the event loop's clock; one that is asked later might be another sender's by then
    ask_until: float


class Questions:
    """What waits to be asked on *channel*; *give_up* ends the wait for a message whose question was put."""

    def __init__(
        self,
        channel: ChannelSettings,
        provider: Provider,
        client: Client,
        answers: Answers,
        give_up: Callable[[Sequence[asyncpg.Record]], Awaitable[None]],
    ) -> None:
        self._channel, self._provider = channel, provider
        self._client, self._answers, self._give_up = client, answers, give_up
        self._waiting: asyncio.Queue[_Question] = asyncio.Queue(ROOM)

    def call(self, row: asyncpg.Record) -> Call | None:
        """The call that asks for *row*, None where the carrier cannot be asked."""
        names = [name for name in row["provider_message_ids"] if not name.startswith(INTERNAL)]
        if not names or sendable.reasons(self._channel, self._provider):
            return None
        return self._provider.ask(names[0], row["contact"] or "", self._channel)

    def put(self, row: asyncpg.Record, call: Call) -> None:
        """Asks with *call* in its turn, as far as there is room."""
        clock = asyncio.get_running_loop().time
        if not self._waiting.full():
            latest = clock() + LEASE.total_seconds() - CALL_DEADLINE
            self._waiting.put_nowait(_Question(row, call, latest))

    async def run(self) -> None:
        """Until cancelled."""
        await asyncio.gather(*(self._work() for _ in range(AT_ONCE)))

    async def _work(self) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            question = await self._waiting.get()
            if clock() > question.ask_until:
                continue
            try:
                await self._ask(question)
                await self._give_up([question.row])
            except Exception as error:  # noqa: BLE001 - the database is away: it comes again
                said = f"{type(error).__name__}: {error}"
                log.warning("cannot settle a silent message", channel=self._channel.name, reason=said)

    async def _ask(self, question: _Question) -> None:
        """Puts the question; its answer is stored like a report."""
        try:
            answer = await self._client.call(question.call)
        except (NotSent, AnswerLost) as error:
            message_id = str(question.row["message_id"])
            log.warning("no answer", channel=self._channel.name, id=message_id, reason=str(error))
        else:
            await self._answers.keep(Asked.QUESTION, answer)


class Silence:
    """Looks for silent messages of all channels, and gives each to its channel's `Questions`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._overdue = qualified("SELECT * FROM postback.overdue($1, $2)", settings.db_schema)
        self._give_up = qualified("SELECT postback.give_up($1)", settings.db_schema)
        self._channels: dict[str, Questions] = {}

    def questions(
        self, channel: ChannelSettings, provider: Provider, client: Client, answers: Answers
    ) -> Questions:
        """Those of *channel*, to be run beside this."""
        made = self._channels[channel.name] = Questions(channel, provider, client, answers, self.give_up)
        return made

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                while await self._look() == MOST:
                    pass
            except Exception as error:  # noqa: BLE001 - the database is away: look again
                _waiting.failed(self, error)
            else:
                _waiting.worked(self)
            await asyncio.sleep(LOOK)

    async def give_up(self, rows: Sequence[asyncpg.Record]) -> None:
        """Ends the wait for reports on *rows*, as far as none has come."""
        async with db.connected(self._settings.database_url) as connection:
            await connection.fetch(self._give_up, [_unconfirmed(row) for row in rows], timeout=5)

    async def _look(self) -> int:
        async with db.connected(self._settings.database_url) as connection:
            rows = await connection.fetch(self._overdue, MOST, LEASE, timeout=5)
        silent = []
        for row in rows:
            questions = self._channels.get(row["channel"])
            call = questions.call(row) if questions else None
            if questions and call:
                questions.put(row, call)
            else:
                silent.append(row)
        if silent:
            await self.give_up(silent)
        return len(rows)


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
