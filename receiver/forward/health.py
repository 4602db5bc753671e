"""Whether a subscriber takes what it is sent: up, down, asking for a pause, or to be disabled."""

from datetime import datetime

from receiver.forward.terms import HOUR, Terms

GONE, BUSY = 410, (429, 503)
#: the longest that one ``Retry-After`` holds up everything for its subscriber
LONGEST_PAUSE = HOUR


class Health:
    """*since* is the first failure since the last success. *paused_until* is on the event loop's clock;
    *reason* is why to disable it, None while there is none."""

    def __init__(self, terms: Terms, since: datetime | None) -> None:
        self._terms, self.since = terms, since
        self.paused_until = 0.0
        self.reason: str | None = None
        self._failures = 0

    @property
    def down(self) -> bool:
        """Nothing gets through: one at a time, oldest first, and nothing more is read than that."""
        return self._failures >= self._terms.down_after

    def succeeded(self) -> bool:
        """Whether it was down until now."""
        was_down = self.down
        self._failures, self.since = 0, None
        return was_down

    def failed(self, status: int | None, asked: float | None, now: float) -> None:
        """With *status*, if there was an answer, which *asked* for so many seconds of rest."""
        moment = self._terms.clock()
        self._failures += 1
        self.since = self.since or moment
        if status in BUSY and asked:
            self.paused_until = now + min(asked, LONGEST_PAUSE)
        if status == GONE:
            self.reason = "it answered 410 Gone"
        elif self.down and moment - self.since >= self._terms.disable_after:
            self.reason = f"nothing succeeded for {(moment - self.since).days} days"
