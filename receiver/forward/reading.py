"""A subscriber's reading of the feed: on from its place, and once more from an earlier one for a replay."""

import asyncio
from collections.abc import Callable, Sequence

from receiver.forward.letters import Letter, Letters
from receiver.forward.parcel import Parcel
from receiver.forward.place import Place
from receiver.forward.subscription import Subscription
from receiver.forward.terms import Terms

#: seconds of a replay that may be made up at once
BURST = 0.1


class Reading:
    """Hands what the subscriber *of* wants to *add*, as long as there is *room*. *done* are the numbers (of a
    replay, of an event) after its places that have a row already."""

    def __init__(
        self,
        of: Subscription,
        letters: Letters,
        terms: Terms,
        done: Sequence[tuple[int, int]],
        room: Callable[[], bool],
        add: Callable[[Parcel], None],
    ) -> None:
        self._of, self._letters, self._terms = of, letters, terms
        self._room, self._add = room, add
        self._live, self._replay, self._replay_at = Place(of.cursor), _replay_of(of), 0.0
        self._done = set(done)

    def update(self, of: Subscription) -> None:
        """Takes the subscriber as it stands now; a replay that is new begins."""
        if of.replay != self._of.replay:
            self._replay, self._replay_at = _replay_of(of), 0.0
        self._of = of

    @property
    def settled(self) -> int:
        """Returns the number through which everything is settled."""
        return self._live.settled

    @property
    def replay_settled(self) -> int | None:
        """Returns the same of the replay under way, None where there is none."""
        replay = self._under_way
        return None if replay is None else replay.settled

    @property
    def behind(self) -> bool:
        """Returns whether the feed goes on after what is read."""
        return self._live.read < self._letters.head

    @property
    def replays_at(self) -> float | None:
        """Returns when the replay under way may go on, on the loop's clock, None where there is none."""
        return None if self._under_way is None else self._replay_at

    async def read_on(self) -> None:
        """Reads on towards the end of the feed."""
        while self._room() and self.behind:
            letters, through = await self._letters.after(self._live.read)
            if through <= self._live.read:
                return
            for letter in letters:
                if not self._room():
                    return
                self._take(self._live, letter, 0)
            self._live.read = max(self._live.read, through)
            await asyncio.sleep(0)  # a filter may leave out a long stretch

    async def read_replay(self) -> None:
        """Reads the replay on, at its rate."""
        place, end = self._replay, self._of.replay_through or 0
        now = asyncio.get_running_loop().time()
        while place is not None and place.read < end and self._replay_at <= now and self._room():
            letters, through = await self._letters.after(place.read)
            # where the feed ends earlier than it once did, so does the replay
            upto = min(through, end) if through > place.read else end
            for letter in letters:
                if letter.seq > end:
                    break
                if self._replay_at > now:
                    upto = place.read
                    break
                if self._take(place, letter, self._of.replay):
                    self._replay_at = max(self._replay_at, now - BURST) + 1 / self._terms.replay_rate
            place.read = max(place.read, upto)

    @property
    def _under_way(self) -> Place | None:
        """Returns the place of the replay as long as something of it is unread or unsettled."""
        replay = self._replay
        over = replay is not None and replay.ends and replay.read >= (self._of.replay_through or 0)
        return None if over else replay

    def _take(self, place: Place, letter: Letter, replay: int) -> bool:
        place.read = letter.seq
        if not self._of.wanted.admits(letter):
            return False
        if (replay, letter.seq) in self._done:
            self._done.discard((replay, letter.seq))
            return False
        parcel = Parcel.of(letter, replay)
        place.add(parcel)
        self._add(parcel)
        return True


def _replay_of(of: Subscription) -> Place | None:
    return None if of.replay_after is None else Place(of.replay_after)
