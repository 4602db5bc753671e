"""What is left of a spool, and which of its requests do not go while others do.

Postgres may answer, take everything else, and still not take one request in its time: rows that somebody has
locked, a file that cannot be written, a damaged page, more work than fits. Such a request is **held**: it
stays where it is on disk, the others go past it, and it is tried alone, later and later.

None of this is written down: another process, or the next start, finds out again.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import structlog

from receiver.spool import Kept, Spool

log = structlog.get_logger()

#: requests that are tried together when one of them is to be found
FEW = 16
#: tries in a row that fail before anything but Postgres is blamed
TRIES = 3
#: seconds from the first lone try to the second; every further pause is twice as long, up to the longest
PAUSE, LONGEST_PAUSE = 5.0, 600.0


@dataclass(slots=True)
class _Held:
    seq: int
    again_at: float
    misses: int = 0


class Backlog:
    """The requests in *spool*, in their order, and what is known of those that were tried."""

    def __init__(self, spool: Spool) -> None:
        self.spool = spool
        #: whether something has left since the file was last rid of what has
        self.littered = False
        self._held: dict[UUID, _Held] = {}
        self._damaged = 0
        #: as far as nothing has gone, seen from the beginning, and the first of those; whether something
        #: beyond goes is being tried
        self._after, self._front = 0, list[Kept]()
        #: as far as nothing had gone when something beyond did
        self._doubted = 0
        #: tries since the last one of which nothing failed, and that one's requests until it is judged
        self._failures = 0
        self._puzzle: tuple[Sequence[Kept], Sequence[Kept]] | None = None

    @property
    def idle(self) -> bool:
        """Whether nothing waits but what is held."""
        return self.spool.figures.records <= len(self._held)

    @property
    def held(self) -> int:
        """Requests that have failed alone."""
        return sum(1 for held in self._held.values() if held.misses)

    async def next(self, many: int) -> list[Kept]:
        """Requests to be tried together, *many* at most; none when all have been. Raises ``SpoolError``."""
        if self.idle:
            return []
        after = self._after
        many = FEW if self._failures or self._doubted else many
        while kept := await self.spool.first(many, after):
            if found := [one for one in kept if one.record.payload.id not in self._held]:
                if found[0].seq > self._doubted:
                    self._doubted = 0
                return found
            after = kept[-1].seq
        if self._after:
            self._hold(self._front)  # there is nothing that could tell: each for itself, then
            self._after = 0
        return []

    def tried(self, together: Sequence[Kept], failed: Sequence[Kept]) -> None:
        """Of those tried *together* all were stored but the *failed* ones."""
        self.littered = self.littered or len(failed) < len(together)
        if len(failed) < len(together) and self._after:
            # what has failed before them did not fail because of Postgres
            self._doubted, self._after = self._after, 0
        self._puzzle = (together, failed) if failed else None
        if not failed and self._failures:
            self._failures = 0
            self._remind()  # perhaps it was Postgres after all

    @property
    def puzzling(self) -> bool:
        """Whether the last try failed, and nobody knows yet whether it was Postgres."""
        return self._puzzle is not None

    def explained(self) -> None:
        """It was."""
        self._puzzle = None

    def judge(self) -> None:
        """It was not, or it is no more: Postgres answers. Decides what is tried next, and what is held."""
        if self._puzzle is None:
            return
        (together, failed), self._puzzle = self._puzzle, None
        self._failures += 1
        if len(failed) > FEW:
            return  # among fewer it is easier to see whose fault it is
        often = self._failures >= TRIES
        if failed[-1].seq <= self._doubted or (often and len(failed) < len(together)):
            self._hold(failed)
        elif often:
            self._front = self._front if self._after else [*failed]
            self._after = together[-1].seq

    def _hold(self, failed: Sequence[Kept]) -> None:
        now = time.monotonic()
        self._held |= {one.record.payload.id: _Held(one.seq, now) for one in failed}

    def _remind(self) -> None:
        now = time.monotonic()
        for held in self._held.values():
            held.again_at = now

    async def due(self) -> Kept | None:
        """A held request that is to be tried now. Raises ``SpoolError``."""
        if self._damaged != self.spool.figures.damaged:
            self._damaged = self.spool.figures.damaged
            self._remind()  # it may be what is damaged, and gone
        while self._held:
            (identity, held) = min(self._held.items(), key=lambda item: item[1].again_at)
            if held.again_at > time.monotonic():
                return None
            found = await self.spool.first(1, held.seq - 1)
            if found and found[0].record.payload.id == identity:
                return found[0]
            del self._held[identity]  # somebody has erased it
        return None

    def missed(self, kept: Kept, reason: str) -> None:
        """A lone try of *kept* has failed."""
        held = self._held[kept.record.payload.id]
        pause = min(PAUSE * 2**held.misses, LONGEST_PAUSE)
        held.misses += 1
        held.again_at = time.monotonic() + pause
        log.error(
            "a request is held: Postgres takes others and not this one",
            payload_id=str(kept.record.payload.id),
            channel=kept.record.payload.channel,
            tries=held.misses,
            again_in=pause,
            reason=reason,
        )

    def left(self, kept: Kept) -> None:
        """*kept*, which was held, is elsewhere now."""
        self.littered = True
        held = self._held.pop(kept.record.payload.id)
        if held.misses:
            log.warning("a held request has left", payload_id=str(kept.record.payload.id), tries=held.misses)

    def is_first_try(self, kept: Kept) -> bool:
        """Whether *kept* has not failed alone yet."""
        return not self._held[kept.record.payload.id].misses
