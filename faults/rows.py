"""The rows of the table: what is broken, what must hold, and the code that tries it.

A module ``faults/rows_*.py`` adds its own with `row`; `every` finds them all.
"""

import importlib
import pkgutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TypeAlias

import faults
from faults.audit import Balance
from faults.journal import Journal

Figure: TypeAlias = int | float | str


@dataclass(slots=True)
class Result:
    """What a row came to. *figures* are its own measurements; *notes* say what did not hold, in sentences."""

    rounds: int = 0
    requests: int = 0
    acknowledged: int = 0
    lost: int = 0
    doubled: int = 0
    figures: dict[str, Figure] = field(default_factory=dict)
    holds: bool = True
    notes: list[str] = field(default_factory=list)

    def add(self, balance: Balance) -> None:
        """One round's *balance*; a loss, a double or a gap in the feed means that the row does not hold."""
        self.rounds += 1
        self.requests += balance.requests
        self.acknowledged += balance.acknowledged
        self.lost += balance.lost
        self.doubled += balance.doubled
        self.demand(not balance.lost, f"{balance.lost} acknowledged requests are not stored")
        self.demand(not balance.doubled, f"{balance.doubled} are stored twice")
        self.demand(not balance.waiting, f"{balance.waiting} are still in a spool")
        self.demand(not balance.gaps, f"the feed has {balance.gaps} gaps")

    def demand(self, fulfilled: object, otherwise: str) -> None:
        if not fulfilled:
            self.holds = False
            self.notes.append(otherwise)


@dataclass(frozen=True, slots=True)
class Run:
    """One try of a row. *short* is the form of the test suite, a few seconds long; *random* is its own,
    from the seed and the row's name, so that a row alone does what it does among the others."""

    name: str
    seed: int
    short: bool
    #: for the journals and whatever else the row keeps; removed at the end
    scratch: Path
    #: shows what happens now
    progress: Callable[[str], None]
    _journals: list[Journal] = field(default_factory=list)

    @property
    def random(self) -> Random:
        """A new one each time: take it once."""
        return Random(f"{self.seed} {self.name}")

    def journal(self, name: str = "journal") -> Journal:
        """A new one, until `close`."""
        made = Journal(self.scratch / name)
        self._journals.append(made)
        return made

    def close(self) -> None:
        for journal in self._journals:
            journal.close()


Work: TypeAlias = Callable[[Run], Awaitable[Result]]


@dataclass(frozen=True, slots=True)
class Row:
    """*number* is its place in the table; *fault* and *must* are sentences for people."""

    number: int
    name: str
    fault: str
    must: str
    work: Work


_rows: dict[str, Row] = {}


def row(number: int, name: str, fault: str, must: str) -> Callable[[Work], Work]:
    """Puts the decorated function into the table."""

    def put(work: Work) -> Work:
        _rows[name] = Row(number, name, fault, must, work)
        return work

    return put


def every() -> list[Row]:
    """All rows, by number."""
    for module in pkgutil.iter_modules(faults.__path__):
        if module.name.startswith("rows_"):
            importlib.import_module(f"faults.{module.name}")
    return sorted(_rows.values(), key=lambda found: found.number)
