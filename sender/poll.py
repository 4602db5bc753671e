"""Fetches what waits with a carrier, for accounts to which it does not call back."""

import asyncio
from datetime import timedelta

from models.events import Event
from models.sends import Outcome
from receiver import db
from receiver.answered import Asked
from receiver.config import ChannelSettings, Settings
from receiver.http import AnswerLost, Client, NotSent
from receiver.metrics.definitions import POLLS_REFUSED
from receiver.providers.base import Provider
from receiver.sql import qualified
from receiver.waiting import Waiting
from sender.answers import Answers

#: that of all channels of this process for Postgres
_waiting = Waiting("polls")

#: pages of one look; a carrier that always promises another one must not keep us for ever
MOST_PAGES = 1000
#: seconds between looks at a carrier that goes on refusing, where the channel has no longer ones
LONGEST_PAUSE = 3600.0


class Refused(Exception):
    """The carrier did not answer a poll: what it said, and the seconds of *pause* that it asks for."""

    def __init__(self, refusal: Outcome) -> None:
        super().__init__(": ".join(filter(None, [refusal.provider_code, refusal.provider_message])))
        self.pause = refusal.retry_after


class Poll:
    """One list of a channel with ``poll`` set; any number of senders share the turns.

    A carrier that refuses is asked again when it says, else ever more seldom, up to `LONGEST_PAUSE`.
    """

    def __init__(
        self,
        settings: Settings,
        channel: ChannelSettings,
        provider: Provider,
        client: Client,
        answers: Answers,
        listed: str,
    ) -> None:
        self._settings, self._channel, self._provider = settings, channel, provider
        self._client, self._answers, self._listed = client, answers, listed
        self._turn = qualified("SELECT postback.take_turn($1, $2)", settings.db_schema)
        self._put_off = qualified("SELECT postback.put_off($1, $2)", settings.db_schema)
        # the first list shares its turns with versions that knew no other
        other = f":{listed}" if listed != provider.lists[0] else ""
        self._carrier = Waiting(f"poll of {channel.name}{other}")
        self._name, self._refusals = f"poll:{channel.name}{other}", 0

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                asked = await self._is_our_turn()
                if asked:
                    await self._look()
            except Refused as error:
                self._carrier.failed(self, error)
                await self._rest(error.pause)
            except (NotSent, AnswerLost) as error:
                self._carrier.failed(self, error)
            except Exception as error:  # noqa: BLE001 - the database is away: look again
                _waiting.failed(self, error)
            else:
                _waiting.worked(self)
                if asked:
                    self._refusals = 0
                    self._carrier.worked(self)
            await asyncio.sleep(min(self._channel.poll, 5))

    async def _is_our_turn(self) -> bool:
        async with db.connected(self._settings.database_url) as connection:
            spacing = timedelta(seconds=self._channel.poll)
            return bool(await connection.fetchval(self._turn, self._name, spacing, timeout=5))

    async def _rest(self, asked_for: float | None) -> None:
        """Puts the next look off, for all senders."""
        POLLS_REFUSED.add(self._channel.name)
        self._refusals += 1
        backoff = self._channel.poll * 2.0 ** min(self._refusals, 20)
        longest = max(LONGEST_PAUSE, self._channel.poll)
        pause = timedelta(seconds=max(asked_for or 0.0, min(backoff, longest)))
        try:
            async with db.connected(self._settings.database_url) as connection:
                await connection.execute(self._put_off, self._name, pause, timeout=5)
        except Exception as error:  # noqa: BLE001 - the database is away, and so is the next turn
            _waiting.failed(self, error)

    async def _look(self) -> None:
        told: list[Event] = []
        for page in range(1, MOST_PAGES + 1):
            call = self._provider.poll(self._channel, page, self._listed)
            if call is None:
                return
            answer = await self._client.call(call)
            refusal = self._provider.refusal(answer)
            if refusal:
                raise Refused(refusal)
            events = await self._answers.keep(Asked.POLL, answer, self._listed)
            if events is None:
                return  # what stays on the carrier's list comes again
            told += events
            _, more = self._provider.polled(answer, self._channel, self._listed)
            if not more:
                break
        # only what is stored is taken off the carrier's list
        collected = self._provider.collected(told, self._channel) if told else None
        if collected:
            await self._client.call(collected)
