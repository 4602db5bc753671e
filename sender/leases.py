"""Leases that ran out: what a dead sender had claimed is queued again, and its calls are given up."""

import asyncio
from collections.abc import Callable, Collection, Mapping
from uuid import UUID

import asyncpg
import structlog

from receiver.config import Settings
from receiver.outbox import Outbox, Settlement, uncertain
from receiver.providers.base import Provider
from receiver.waiting import Waiting

log = structlog.get_logger()
_waiting = Waiting("leases")

#: seconds between looks for leases that ran out
LOOK = 5.0
#: seconds for which Postgres has to have been well before a call is given up: a living sender, whose answer
#: waited out the same outage, has settled it by then
GRACE = 5.0

UNKNOWN = (
    "its sender ended before it could write down what the carrier answered; "
    "nobody here knows whether the message was sent"
)


class Leases:
    """*busy* tells the submissions that this process is still at: it has not died."""

    def __init__(
        self,
        outbox: Outbox,
        settings: Settings,
        providers: Mapping[str, Provider],
        busy: Callable[[], Collection[UUID]],
    ) -> None:
        self._outbox, self._settings, self._providers = outbox, settings, providers
        self._busy = busy

    async def run(self) -> None:
        """Until cancelled."""
        clock = asyncio.get_running_loop().time
        well_since: float | None = None
        while True:
            try:
                calls = await self._outbox.expire_leases()
                well_since = well_since or clock()
                if clock() - well_since >= GRACE:
                    await self._give_up(calls)
            except Exception as error:  # noqa: BLE001 - the database is away: look again
                well_since = None
                _waiting.failed(self, error)
            else:
                _waiting.worked(self)
            await asyncio.sleep(LOOK)

    async def _give_up(self, calls: Collection[asyncpg.Record]) -> None:
        busy = self._busy()
        dead = [self._unanswered(row) for row in calls if row["submission_id"] not in busy]
        if not dead:
            return
        given_up = set(await self._outbox.lapse(dead))
        for call in dead:
            if call.id in given_up:
                log.warning("call without an end", id=str(call.id), channel=call.channel)

    def _unanswered(self, row: asyncpg.Record) -> Settlement:
        channel = self._settings.channels.get(row["channel"])
        return Settlement(
            row["id"],
            row["kind"],
            row["submission_id"],
            row["attempt"],
            row["channel"],
            self._providers[channel.provider].name if channel else "",
            uncertain(UNKNOWN),
        )
