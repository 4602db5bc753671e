"""The forwarder's process: takes its share of the subscribers, and keeps the books for all of them."""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import replace
from uuid import UUID

import structlog

from models import Subscriber
from receiver import secrets
from receiver.config import Settings
from receiver.endless import beside
from receiver.forward.journal import Journal
from receiver.forward.letters import Letters
from receiver.forward.line import FEED, Line
from receiver.forward.subscription import Subscription
from receiver.forward.terms import Terms
from receiver.http import Poster
from receiver.media import links_of
from receiver.metrics.sheet import Sheet, recording
from receiver.providers import PROVIDERS
from receiver.reader import Reader
from receiver.redactions import Redactions
from receiver.replies import Replies
from receiver.secrets import Secrets, Undecryptable
from receiver.waiting import Waiting

log = structlog.get_logger()
_books = Waiting("deliveries")

#: seconds that posts under way get when the process is told to stop; and when others have fewer subscribers
GRACE, HANDOVER = 6.0, 1.0
#: seconds for what became of the posts to be written down at the end
FAREWELL = 1.5


async def run(settings: Settings, stop: asyncio.Event, terms: Terms = Terms()) -> None:  # noqa: B008
    """Forwards until *stop* is set, then lets the posts under way come to their end."""
    async with recording(Sheet(settings.data_dir, "forwarder")):
        reader = Reader(
            settings.database_url,
            settings.db_schema,
            Replies(settings, PROVIDERS),
            links_of(settings, secrets.load(settings)),
            size=4,
        )
        try:
            async with Poster(settings.private_networks) as poster:
                await _Forwarder(settings, reader, poster, terms).run(stop)
        finally:
            await reader.close()


class _Forwarder:
    def __init__(self, settings: Settings, reader: Reader, poster: Poster, terms: Terms) -> None:
        self._poster, self._terms = poster, terms
        self._secrets: Secrets = secrets.load(settings)
        self._redactions = Redactions(settings.database_url, settings.db_schema)
        self._letters = Letters(reader, self._redactions, self._hashed)
        self._journal = Journal(settings.database_url, settings.db_schema)
        self._lines: dict[UUID, tuple[Line, asyncio.Task[None]]] = {}
        self._unreadable: set[UUID] = set()
        #: on the event loop's clock: until then nobody else takes what is held
        self._held_until = 0.0

    async def run(self, stop: asyncio.Event) -> None:
        log.info("forwarding")
        async with self._redactions.heeded(self):
            await self._work(stop)
        await self._journal.close()

    def forget(self, events: Collection[UUID] | None) -> None:
        """As `receiver.redactions.Holder`."""
        self._letters.forget(events)
        for line, _ in self._lines.values():
            line.forget(events)

    async def quiet(self) -> None:
        """As `receiver.redactions.Holder`."""
        for line, _ in list(self._lines.values()):
            await line.quiet()

    def _hashed(self, number: str) -> str:
        return self._secrets.keyed_hash("lane", number.encode()).hex()

    async def _work(self, stop: asyncio.Event) -> None:
        async with beside(self._watch(), self._keep_books()):
            await stop.wait()
        lines = [line for line, _ in self._lines.values()]
        for _, task in self._lines.values():
            task.cancel()
        await asyncio.gather(*(line.finish(GRACE) for line in lines))
        try:
            async with asyncio.timeout(FAREWELL):
                await self._flush()
                await self._journal.release()
        except Exception as error:  # noqa: BLE001 - the next one will send again what is not written down
            log.warning("ending without the database", reason=f"{type(error).__name__}: {error}")

    async def _watch(self) -> None:
        """Wakes the lines when the feed goes on."""
        while True:
            try:
                if self._lines and await self._letters.look():
                    for line, _ in self._lines.values():
                        line.wake()
            except Exception as error:  # noqa: BLE001 - the database is away: look again
                FEED.failed(self, error)
                await asyncio.sleep(self._terms.tick)
            else:
                FEED.worked(self)
            await asyncio.sleep(self._terms.poll)

    async def _keep_books(self) -> None:
        """One thing after the other: what was read of a delivery is never older than what was written."""
        loop = asyncio.get_running_loop()
        next_tick = 0.0
        while True:
            try:
                await self._flush()
                if loop.time() >= next_tick:
                    next_tick = loop.time() + self._terms.tick
                    await self._claim()
                    await self._ask()
            except Exception as error:  # noqa: BLE001 - the database is away: again in a moment
                _books.failed(self, error)
                await asyncio.sleep(self._terms.tick)
                self._pause_if_late()
            else:
                _books.worked(self)
            await asyncio.sleep(self._terms.flush)

    async def _flush(self) -> None:
        lines = [line for line, _ in self._lines.values()]
        taken = [(line, line.place(), line.books.take()) for line in lines]
        changed = [
            (line, place, parcels) for line, place, parcels in taken if parcels or line.books.moved(place)
        ]
        if not changed:
            return
        rows = [parcel.row(line.of.id) for line, _, parcels in changed for parcel in parcels]
        try:
            places = [place for _, place, _ in changed]
            mine = await self._journal.log(places, rows, self._redactions.seen, self._terms.clock())
        except BaseException:
            for line, place, parcels in changed:
                line.books.put_back(parcels, place)
            raise
        for line, place, _ in changed:
            line.books.saved(place)
            if line.of.id not in mine:
                await self._drop(line, "it is another process's now")
            elif place.disabled_reason:
                await self._drop(line, place.disabled_reason)

    async def _claim(self) -> None:
        begun = asyncio.get_running_loop().time()
        share, held = await self._journal.claim(self._terms.lease)
        self._held_until = begun + self._terms.lease.total_seconds()
        for named in self._lines.keys() - {row.id for row in held}:
            await self._drop(self._lines[named][0], "disabled, deleted, or another process's")
        for row in held:
            await self._serve(row)
        await self._give_up([line for line, _ in self._lines.values()][share:])
        busy = sum(line.busy for line, _ in self._lines.values())
        width = self._terms.concurrency_of_all // max(busy, 1)
        for line, _ in self._lines.values():
            line.width = min(max(width, self._terms.least), self._terms.concurrency)
        await self._poster.close_idle()

    async def _serve(self, row: Subscriber) -> None:
        try:
            subscription = Subscription.of(row, self._secrets, self._terms.clock())
        except Undecryptable as error:
            if row.id not in self._unreadable:
                log.error("a subscriber's secret cannot be read", subscriber=str(row.id), reason=str(error))
                self._unreadable.add(row.id)
            return
        known = self._lines.get(row.id)
        if known is not None:
            known[0].update(subscription)
            return
        await self._letters.look()
        kept = await self._redactions.fresh(lambda: self._journal.kept(row))
        if row.cursor > self._letters.head:
            log.error("a place beyond the end of the feed", subscriber=str(row.id), place=row.cursor)
            subscription = replace(subscription, cursor=self._letters.head)
        line = Line(
            subscription, self._letters, self._poster, self._terms, self._redactions,
            kept=kept.waiting, done=kept.done,
        )  # fmt: skip
        self._lines[row.id] = line, asyncio.create_task(line.run())
        log.info("serving", subscriber=str(row.id), place=row.cursor, waiting=len(kept.waiting))

    async def _ask(self) -> None:
        due = await self._redactions.fresh(lambda: self._journal.due(list(self._lines), self._terms.clock()))
        for named, parcel in due:
            if named in self._lines:
                self._lines[named][0].ask(parcel)

    async def _give_up(self, lines: Sequence[Line]) -> None:
        """Others have fewer: the posts under way come to their end first, for the sake of order."""
        if not lines:
            return
        for line in lines:
            self._lines[line.of.id][1].cancel()
        await asyncio.gather(*(line.finish(HANDOVER) for line in lines))
        try:
            await self._flush()
        finally:
            for line in lines:
                self._lines.pop(line.of.id, None)
        await self._journal.release([line.of.id for line in lines])
        log.info("given up", subscribers=len(lines))

    async def _drop(self, line: Line, reason: str) -> None:
        self._lines[line.of.id][1].cancel()
        await line.finish(0)
        del self._lines[line.of.id]
        log.info("no longer serving", subscriber=str(line.of.id), reason=reason)

    def _pause_if_late(self) -> None:
        """The lease could not be renewed: somebody else may serve them by now."""
        if asyncio.get_running_loop().time() > self._held_until:
            for line, _ in self._lines.values():
                line.width = 0
