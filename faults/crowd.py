"""Crowds of callers: kinds as often as their shares say, calls spread over time, and their ends as JSON."""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Generic, Protocol, TypeVar

import uvloop

from receiver.serve import raise_file_limit


class Kind(Protocol):
    """A kind of call; *right* are the statuses that it may be answered with, 0 for none."""

    @property
    def name(self) -> str: ...

    @property
    def right(self) -> tuple[int, ...]: ...


class Shared(Kind, Protocol):
    """A kind of call; *share* is its part of all connections."""

    @property
    def share(self) -> float: ...


Some = TypeVar("Some", bound=Kind)
Part = TypeVar("Part", bound=Shared)


@dataclass(frozen=True, slots=True)
class Ended(Generic[Some]):
    """A call of *kind*: its *status*, 0 for none and -1 for none in time, and the *seconds* until the answer
    came, or the end of the connection without one."""

    kind: Some
    status: int
    seconds: float


def shuffled(kinds: Sequence[Part], number: int) -> list[Part]:
    """Returns about *number* of *kinds*, each as its share says, at least once."""
    chosen = [kind for kind in kinds for _ in range(max(1, round(kind.share * number)))]
    Random(number).shuffle(chosen)
    return chosen


async def crowd(
    chosen: Sequence[Some], coming: float, call: Callable[[Some, float], Awaitable[Ended[Some]]]
) -> list[Ended[Some]]:
    """Calls once for each of *chosen*, *coming* of them a second, 0 for all at once; returns how they ended.
    *call* takes a kind and the seconds after which it begins."""
    print("calling", len(chosen), flush=True)
    return await asyncio.gather(
        *(call(kind, place / coming if coming else 0.0) for place, kind in enumerate(chosen))
    )


def tell(calling: Coroutine[Any, Any, list[Ended[Some]]], *busy: int) -> None:
    """Runs *calling* and prints, for each kind: its number, answers, wrong ones, and the most seconds of one.
    *busy* are statuses that are right for any."""
    raise_file_limit()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        ended = runner.run(calling)
    of = {
        name: [one for one in ended if one.kind.name == name]
        for name in dict.fromkeys(one.kind.name for one in ended)
    }
    told = {
        name: {
            "connections": len(found),
            "answers": dict(Counter(str(one.status) for one in found)),
            "wrong": sum(one.status not in (*one.kind.right, *busy) for one in found),
            "seconds": round(max(one.seconds for one in found), 2),
        }
        for name, found in of.items()
    }
    print(json.dumps(told), flush=True)
