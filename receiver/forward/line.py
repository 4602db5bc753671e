"""One subscriber: what it is sent, in order, and what becomes of that. Nobody else waits for it."""

import asyncio
from collections.abc import Collection, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from uuid import UUID

from receiver.forward.attempt import attempt
from receiver.forward.books import Books
from receiver.forward.health import Health
from receiver.forward.letters import Letters
from receiver.forward.parcel import DEAD, DELIVERED, PARKED, WAITING, Parcel
from receiver.forward.queue import Queue
from receiver.forward.reading import Reading
from receiver.forward.subscription import PlaceRow, Subscription
from receiver.forward.terms import Terms
from receiver.http import Poster
from receiver.metrics.definitions import DELIVERIES, FORWARD_LAG_SECONDS
from receiver.redactions import Redactions
from receiver.waiting import Waiting

#: that of this process with the feed, over all its subscribers
FEED = Waiting("feed")

#: seconds before the feed is read again when Postgres did not answer
PAUSE = 1.0


class Line:
    """*kept* are its open deliveries, *done* the numbers (of a replay, of an event) after its places that
    have a row already."""

    def __init__(
        self,
        of: Subscription,
        letters: Letters,
        poster: Poster,
        terms: Terms,
        redactions: Redactions,
        *,
        kept: Sequence[Parcel] = (),
        done: Sequence[tuple[int, int]] = (),
    ) -> None:
        self.of, self._letters, self._poster, self._terms = of, letters, poster, terms
        self._redactions = redactions
        #: posts at a time; none while somebody else may serve it
        self.width = terms.concurrency
        self._reading = Reading(of, letters, terms, done, lambda: self._hungry, self._add)
        self._queue = Queue()
        self._posts: set[asyncio.Task[None]] = set()
        self._untried = 0
        self._health = Health(terms, of.failing_since)
        self._closing = False
        self._wake = asyncio.Event()
        self.books = Books()
        self.books.saved(self.place())
        for parcel in sorted(kept, key=lambda parcel: parcel.number):
            parcel.due = self._on_the_loop(parcel.next_at)
            self._queue.add(parcel)

    # what the process tells it

    def wake(self) -> None:
        self._wake.set()

    def update(self, of: Subscription) -> None:
        """As it stands now."""
        self._reading.update(of)
        self.of = of
        self.wake()

    def ask(self, parcel: Parcel) -> None:
        """A delivery that is due by its row: parked, or asked for by somebody."""
        held = self._queue.held.get(parcel.id)
        if held is not None:
            if held.due and not held.flying and held.state == WAITING:
                held.due = 0.0
                self._queue.due(held)
        elif parcel not in self.books and parcel.state == PARKED:
            self._queue.add_late(parcel)
        self.wake()

    def forget(self, events: Collection[UUID] | None) -> None:
        """Something of *events* was redacted, with None of any; what is under way of it is broken off and
        made anew."""
        for parcel in [*self._queue.held.values(), *self.books.dirty]:
            if events is None or parcel.event_id in events:
                parcel.forget()

    async def quiet(self) -> None:
        """Returns once everything that was broken off has ended."""
        for parcel in list(self._queue.held.values()):
            if parcel.broken is not None:
                await parcel.broken.wait()

    @property
    def busy(self) -> bool:
        return bool(self._posts)

    def place(self) -> PlaceRow:
        """How far it has come, for its books."""
        return PlaceRow(
            self.of.id, self._reading.settled, self._health.since, self._health.reason, self.of.replay,
            self._reading.replay_settled, self.books.recovered,
        )  # fmt: skip

    # its work

    async def run(self) -> None:
        """Until cancelled. Posts under way go on: see `finish`."""
        while True:
            self._wake.clear()
            try:
                await self._reading.read_on()
                await self._reading.read_replay()
            except Exception as error:  # noqa: BLE001 - the database is away: look again
                FEED.failed(self, error)
                await asyncio.sleep(PAUSE)
            else:
                FEED.worked(self)
            self._start()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._patience()):
                    await self._wake.wait()

    async def finish(self, patience: float) -> None:
        """Starts nothing more and waits up to *patience* seconds for the posts under way; those without an
        end by then will be made again."""
        self._closing = True
        if self._posts:
            _, late = await asyncio.wait(self._posts, timeout=patience)
            for post in late:
                post.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    @property
    def _hungry(self) -> bool:
        return (
            self._untried < self._terms.ahead
            and len(self._queue) - self._untried < self._terms.most_waiting
            and (not self._health.down or self._queue.empty)
            and not self._closing
        )

    def _add(self, parcel: Parcel) -> None:
        self._untried += 1
        self._queue.add(parcel)
        first = self._queue.first_of(parcel)
        if first.tries and first is not parcel and not self._health.down:
            self._record(parcel)

    def _start(self) -> None:
        now = asyncio.get_running_loop().time()
        while self._may_start(now):
            parcel = self._queue.oldest(now) if self._health.down else self._queue.next(now)
            if parcel is None:
                break
            parcel.flying = True
            post = asyncio.create_task(self._deliver(parcel))
            self._posts.add(post)
            post.add_done_callback(self._landed)
        if self._reading.behind and self._untried <= self._terms.ahead // 2 and self._hungry:
            self._wake.set()

    def _may_start(self, now: float) -> bool:
        room = min(self.width, 1) if self._health.down else self.width
        idle = self._closing or self._health.reason is not None or self._health.paused_until > now
        return len(self._posts) < room and not idle

    def _landed(self, post: asyncio.Task[None]) -> None:
        self._posts.discard(post)
        self._start()

    async def _deliver(self, parcel: Parcel) -> None:
        status, asked = await attempt(
            parcel, lambda: self.of, self._letters, self._poster, self._terms, self._redactions
        )
        if status is not None and 200 <= status < 300:
            self._delivered(parcel)
        else:
            self._failed(parcel, status, asked)

    def _delivered(self, parcel: Parcel) -> None:
        if parcel.received_at and not parcel.replay:
            lag = self._terms.clock() - parcel.received_at
            FORWARD_LAG_SECONDS.observe(max(lag.total_seconds(), 0.0))
        DELIVERIES.add("delivered")
        parcel.state, parcel.next_at = DELIVERED, None
        self._record(parcel)
        self._queue.leave(parcel)
        if self._health.succeeded():
            self.books.recovered = True
            self._queue.hurry()

    def _failed(self, parcel: Parcel, status: int | None, asked: float | None) -> None:
        terms, now = self._terms, asyncio.get_running_loop().time()
        self._health.failed(status, asked, now)
        pause = terms.pause(parcel.tries, asked)
        parcel.due = now + pause
        parcel.next_at = terms.clock() + timedelta(seconds=pause)
        if parcel.tries >= terms.tries:
            parcel.state, parcel.next_at = DEAD, None
        elif parcel.late or parcel.tries >= terms.tries_in_order:
            parcel.state, parcel.late = PARKED, True
        DELIVERIES.add("failed" if parcel.state == WAITING else parcel.state)
        self._record(parcel)
        if parcel.state == WAITING:
            self._queue.due(parcel)
            for follower in () if self._health.down else self._queue.behind(parcel):
                self._record(follower)
        else:
            self._queue.leave(parcel)

    def _record(self, parcel: Parcel) -> None:
        """It has to be written down; the place may then pass it."""
        if not parcel.recorded:
            parcel.recorded = True
            self._untried -= 1
        self.books.note(parcel)

    def _on_the_loop(self, moment: datetime | None) -> float:
        if moment is None:
            return 0.0
        wait = (moment - self._terms.clock()).total_seconds()
        return asyncio.get_running_loop().time() + wait if wait > 0 else 0.0

    def _patience(self) -> float | None:
        """Seconds until something is to be done without anybody's word."""
        now = asyncio.get_running_loop().time()
        moments = [self._queue.next_due(down=self._health.down), self._health.paused_until]
        if not self._health.down:
            moments.append(self._reading.replays_at)
        later = [moment - now for moment in moments if moment and moment > now]
        return min(later, default=None)
