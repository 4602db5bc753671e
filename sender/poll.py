"""Fetches what waits with a carrier, for accounts to which it does not call back."""

import asyncio
from datetime import timedelta

from models.events import Event
from receiver import db
from receiver.answered import Asked
from receiver.config import ChannelSettings, Settings
from receiver.http import AnswerLost, Client, NotSent
from receiver.providers.base import Provider
from receiver.sql import qualified
from receiver.waiting import Waiting
from sender.answers import Answers

#: that of all channels of this process for Postgres
_waiting = Waiting("polls")

#: pages of one look; a carrier that always promises another one must not keep us for ever
MOST_PAGES = 1000


class Poll:
    """One channel with ``poll`` set; any number of senders share the turns."""

    def __init__(
        self,
        settings: Settings,
        channel: ChannelSettings,
        provider: Provider,
        client: Client,
        answers: Answers,
    ) -> None:
        self._settings, self._channel, self._provider = settings, channel, provider
        self._client, self._answers = client, answers
        self._carrier = Waiting(f"poll of {channel.name}")
        self._turn = qualified("SELECT postback.take_turn($1, $2)", settings.db_schema)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                if await self._is_our_turn():
                    await self._look()
            except (NotSent, AnswerLost) as error:
                self._carrier.failed(self, error)
            except Exception as error:  # noqa: BLE001 - the database is away: look again
                _waiting.failed(self, error)
            else:
                self._carrier.worked(self)
                _waiting.worked(self)
            await asyncio.sleep(min(self._channel.poll, 5))

    async def _is_our_turn(self) -> bool:
        async with db.connected(self._settings.database_url) as connection:
            spacing = timedelta(seconds=self._channel.poll)
            return bool(
                await connection.fetchval(self._turn, f"poll:{self._channel.name}", spacing, timeout=5)
            )

    async def _look(self) -> None:
        told: list[Event] = []
        for page in range(1, MOST_PAGES + 1):
            call = self._provider.poll(self._channel, page)
            if call is None:
                return
            answer = await self._client.call(call)
            events = await self._answers.keep(Asked.POLL, answer)
            if events is None:
                return  # what stays on the carrier's list comes again
            told += events
            _, more = self._provider.polled(answer, self._channel)
            if not more:
                break
        # only what is stored is taken off the carrier's list
        collected = self._provider.collected(told, self._channel) if told else None
        if collected:
            await self._client.call(collected)
