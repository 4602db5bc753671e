"""The contenders in turn, round after round, so that whatever else the machine does falls on all alike."""

import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median
from time import perf_counter

from benchmarks import load, machine
from benchmarks.contenders import Contender, Field
from benchmarks.stored import Balance, balance
from benchmarks.traffic import ExternalReports, InboundMessages, Known, KnownReports, Traffic


@dataclass(frozen=True, slots=True)
class Options:
    """*seconds* are counted of each turn, after *warm_up* seconds that are not."""

    rounds: int = 5
    seconds: float = 4.0
    warm_up: float = 1.0
    connections: int = 128
    workers: int = 1
    messages: int = 60_000
    few: int = 50_000
    many: int = 5_000_000
    sends: int = 8_000
    events: int = 4_000


#: for whom a core is busy; "others" is whatever else the machine does
CPU = ("contender", "postgres", "callers", "others")


@dataclass(frozen=True, slots=True)
class Turn:
    """What came out. *cpu* says how many cores were busy, and for whom: `CPU` names the places."""

    rate: float
    p50: float
    p99: float
    refused: int
    balance: Balance
    cpu: tuple[float, ...]

    @property
    def counts(self) -> bool:
        """A figure counts only if every request was acknowledged and is stored, once."""
        return not (self.refused or self.balance.lost or self.balance.doubled)


@dataclass(slots=True)
class Entry:
    """One contender with one kind of traffic."""

    label: str
    contender: Contender
    traffic: Traffic
    turns: list[Turn] = field(default_factory=list)
    serials: "itertools.count[int]" = field(default_factory=itertools.count)

    @property
    def rate(self) -> float:
        """The median of all turns."""
        return median(turn.rate for turn in self.turns)


def entries(contenders: Field, messages: Sequence[Known]) -> list[Entry]:
    """In the order of their turns; the others are held against the first two."""
    known = KnownReports(messages)
    return [
        Entry("echo", contenders.echo, known),
        Entry("by hand, " + known.name, contenders.by_hand, known),
        *(
            Entry("Postback, " + traffic.name, contenders.postback, traffic)
            for traffic in (known, ExternalReports(), InboundMessages())
        ),
    ]


async def play(
    field: Sequence[Entry], options: Options, postgres_pid: int, progress: Callable[[Entry], None]
) -> None:
    """Adds a turn per round to each entry."""
    for _ in range(options.rounds):
        for entry in field:
            progress(entry)
            entry.turns.append(await _turn(entry, options, postgres_pid))


async def _turn(entry: Entry, options: Options, postgres_pid: int) -> Turn:
    store, traffic = entry.contender.store, entry.traffic
    mark = await store.mark() if store else None
    began, before = perf_counter(), list(_cpu(entry.contender, postgres_pid))
    measured = await load.closed(
        entry.contender.address,
        traffic.request,
        entry.serials,
        connections=options.connections,
        warm_up=options.warm_up,
        seconds=options.seconds,
    )
    length = perf_counter() - began
    cpu = [
        after - earlier for after, earlier in zip(_cpu(entry.contender, postgres_pid), before, strict=True)
    ]
    stored = Balance(0, 0)
    if store:
        stored = await balance(store, mark, traffic.origin, map(traffic.body, measured.acknowledged))
    refused = measured.dropped + sum(measured.statuses.values()) - measured.statuses[200]
    return Turn(
        measured.rate,
        measured.latency(0.5),
        measured.latency(0.99),
        refused,
        stored,
        tuple(seconds / length for seconds in (*cpu[:3], max(0.0, cpu[3] - sum(cpu[:3])))),
    )


def _cpu(contender: Contender, postgres_pid: int) -> Iterator[float]:
    yield machine.cpu_seconds(*contender.pids)
    yield machine.cpu_seconds(postgres_pid)
    own = os.times()
    yield own.user + own.system
    yield machine.busy_seconds()
