"""When an event is tried again, and when its subscriber has failed for too long (Standard Webhooks)."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

MINUTE, HOUR = 60.0, 3600.0


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Terms:
    """How subscribers are served. Times are in seconds; *clock* tells the time of day."""

    #: before the second try, the third ...
    pauses: tuple[float, ...] = (
        5.0, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR,
    )  # fmt: skip
    #: a pause is longer or shorter by up to this part of it
    jitter: float = 0.1
    #: from the start of a try to the end of its answer
    deadline: float = 15.0
    #: after as many failed tries its conversation goes on without the event
    tries_in_order: int = 3
    #: after as many failures of a subscriber, with no success between, it counts as down
    down_after: int = 10
    disable_after: timedelta = timedelta(days=5)
    #: posts to one subscriber at a time; to all together, of which each has at least `least`
    concurrency: int = 32
    concurrency_of_all: int = 256
    least: int = 4
    #: events of a subscriber that are read and not yet tried; that wait by their rows
    ahead: int = 256
    most_waiting: int = 1000
    #: events of a replay per second and subscriber
    replay_rate: float = 50.0
    #: between two looks at the head of the feed; two writings of what was done; two looks at who is served
    poll: float = 0.1
    flush: float = 0.2
    tick: float = 1.0
    #: a process that says nothing for so long is taken for dead
    lease: timedelta = timedelta(seconds=6)
    clock: Callable[[], datetime] = _now

    @property
    def tries(self) -> int:
        return len(self.pauses) + 1

    def pause(self, tries: int, retry_after: float | None) -> float:
        """Seconds until the next try after *tries* failed ones; what the subscriber asks for at least."""
        pause = self.pauses[min(tries, len(self.pauses)) - 1]
        jittered = pause * random.uniform(1 - self.jitter, 1 + self.jitter)  # noqa: S311
        return max(jittered, retry_after or 0.0)
