"""Counters, histograms and gauges as plain numbers, so that an observation costs a fraction of a microsecond.

`prometheus_client`'s own take a lock for each addition, and write a memory-mapped file where several
processes add up; docs/metrics.md has the figures. Its text format is used, see `receiver.metrics.page`.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter
from typing import TypeAlias

#: the values of an instrument's labels, in their order
Labels: TypeAlias = tuple[str, ...]
#: per labels: one number of a counter or gauge; of a histogram its buckets' counts and then the sum
Values: TypeAlias = dict[Labels, list[float]]

#: stands for what has no room among the distinct values of a label; no channel can be called so
OTHER = "(other)"


@dataclass(slots=True)
class Instrument:
    """*name* without a unit's or counter's ending; *help* is one sentence; *labels* are their names."""

    name: str
    help: str
    labels: Sequence[str] = ()

    def values(self) -> Values:
        raise NotImplementedError

    def merge(self, into: Values, more: Values) -> None:
        """Adds *more*, of another process, to *into*."""
        for labels, numbers in more.items():
            held = into.get(labels)
            if held is None:
                into[labels] = list(numbers)
            elif len(held) == len(numbers):
                into[labels] = [one + other for one, other in zip(held, numbers, strict=True)]


@dataclass(slots=True)
class Counter(Instrument):
    """Only grows. ``_total`` is added to its name. Count with ``counter.counts[labels] += 1``.

    *beginning* is what follows the channel's label in series that are shown from 0 on: an increase can only
    be told of a series that was there before.
    """

    beginning: Sequence[Labels] = ()
    counts: defaultdict[Labels, float] = field(default_factory=lambda: defaultdict(float))

    def add(self, *labels: str, amount: float = 1) -> None:
        self.counts[labels] += amount

    def values(self) -> Values:
        return {labels: [count] for labels, count in self.counts.items()}


@dataclass(slots=True)
class BoundedCounter(Counter):
    """A counter whose last label holds other people's words: *most* different ones per value of the first
    label, `longest` characters each; what comes later counts as `OTHER`."""

    most: int = 20
    longest: int = 40
    _words: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def add(self, *labels: str, amount: float = 1) -> None:
        *others, word = labels
        self.counts[(*others, self._admitted(self._words[labels[0]], word[: self.longest]))] += amount

    def merge(self, into: Values, more: Values) -> None:
        """The bound holds over all processes, or every restart would bring new words."""
        known: defaultdict[str, set[str]] = defaultdict(set)
        for labels in into:
            known[labels[0]].add(labels[-1])
        for labels, (count,) in sorted(more.items()):
            key = (*labels[:-1], self._admitted(known[labels[0]], labels[-1]))
            into[key] = [into.get(key, [0.0])[0] + count]

    def _admitted(self, words: set[str], word: str) -> str:
        if word not in words and len(words - {OTHER}) >= self.most:
            word = OTHER
        words.add(word)
        return word


@dataclass(slots=True)
class Histogram(Instrument):
    """*bounds* are the upper ends of its buckets, ascending; a last one without an end is added."""

    bounds: Sequence[float] = ()
    counts: dict[Labels, list[float]] = field(default_factory=dict)

    def observe(self, value: float, *labels: str) -> None:
        row = self.counts.get(labels)
        if row is None:
            row = self.counts[labels] = [0.0] * (len(self.bounds) + 2)
        row[bisect_left(self.bounds, value)] += 1
        row[-1] += value

    @contextmanager
    def time(self, *labels: str) -> Iterator[None]:
        """Observes the seconds that its block takes, however that ends."""
        begun = perf_counter()
        try:
            yield
        finally:
            self.observe(perf_counter() - begun, *labels)

    def values(self) -> Values:
        return {labels: list(row) for labels, row in self.counts.items()}


@dataclass(slots=True)
class Gauge(Instrument):
    """A state of a living process, asked for when it is wanted: see `ask`. Of several processes the *largest*
    counts, or their sum."""

    largest: bool = False
    _askers: list[Callable[[], Mapping[Labels, float]]] = field(default_factory=list)

    def ask(self, asker: Callable[[], Mapping[Labels, float]]) -> Callable[[], None]:
        """From now on *asker* tells this gauge, by labels; it must be quick and not wait. Returns what ends
        that."""
        self._askers.append(asker)
        return lambda: self._askers.remove(asker)

    def values(self) -> Values:
        values: Values = {}
        for asker in self._askers:
            self.merge(values, {labels: [value] for labels, value in asker().items()})
        return values

    def merge(self, into: Values, more: Values) -> None:
        for labels, (value,) in more.items():
            (held,) = into.get(labels, [value if self.largest else 0.0])
            into[labels] = [max(held, value) if self.largest else held + value]


def by_name(instruments: Iterable[Instrument]) -> dict[str, Instrument]:
    return {instrument.name: instrument for instrument in instruments}
