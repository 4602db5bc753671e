"""What cases cost the web processes, in seconds of the processor."""

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

#: cases that end between two looks, and batches that are shown
BATCH, SHOWN = 200, 5


def spent(pids: Sequence[int]) -> float:
    """Returns the processor time of *pids* so far, in user and kernel mode (proc(5)); of one that has ended,
    nothing."""
    ticks = 0
    for pid in pids:
        with suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


@dataclass(slots=True)
class Costs:
    """The seconds that *pids* spent, batch by batch of cases in the order in which they were answered."""

    pids: Sequence[int]
    cases: int = 0
    total: float = 0.0
    #: seconds, and how many cases had been answered by the batch's end
    dearest: list[tuple[float, int]] = field(default_factory=list)
    _begun: float = 0.0

    def __post_init__(self) -> None:
        self._begun = spent(self.pids)

    def answered(self) -> None:
        """One more case was."""
        self.cases += 1
        if self.cases % BATCH == 0:
            self._look()

    def end(self) -> None:
        """All were."""
        if self.cases % BATCH:
            self._look()

    def _look(self) -> None:
        now = spent(self.pids)
        seconds, self._begun = now - self._begun, now
        self.total += seconds
        self.dearest = sorted([*self.dearest, (seconds, self.cases)], reverse=True)[:SHOWN]
