"""``python -m tests.support.bounded_work patterns|parsers|fields``: what long texts of the worst kind cost.

Each thing that looks at a stranger's text gets short ones of every kind that it might not like, the two of
them that cost it most in 64 KiB, and the one of these that cost it most in 1 MiB. A line of JSON tells each
cost in seconds of the processor; what takes too long is ended by the system, and its line is missing.
"""

import math
import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass

import orjson

SHORT, MEDIUM, LONG = 4 << 10, 64 << 10, 1 << 20
#: seconds of the processor that one thing may take before the system ends all
PATIENCE = 6

Maker = Callable[[int], str]


@dataclass(frozen=True)
class Looker:
    """What *look* does with a text is called *name*. *most* characters reach it: what stands before
    lets no longer ones through; *expected* are what it may raise."""

    name: str
    look: Callable[[str], object]
    makers: Iterable[Maker]
    most: int = LONG
    expected: tuple[type[Exception], ...] = ()

    def cost(self, text: str) -> float:
        began = time.process_time()
        with suppress(*self.expected):
            self.look(text)
        return time.process_time() - began


@dataclass(frozen=True)
class Cost:
    """Seconds of the processor for 64 KiB and for *largest* characters of the worst *text*."""

    name: str
    text: str
    medium: float
    long: float
    largest: int

    @property
    def grows(self) -> bool:
        """Whether the time grows more than three times as fast as the text, or beyond two seconds. Some
        systems count the processor's time in steps of 10 ms."""
        return self.long > min(3 * self.largest / MEDIUM * (self.medium + 0.01), 2)


def told(lookers: Iterable[Looker], tell: Callable[[bytes], object]) -> None:
    """Tells the name of each of *lookers* and then its cost. For a process of its own, which ends where one
    takes more than `PATIENCE`."""
    for looker in lookers:
        tell(orjson.dumps({"begun": looker.name}))
        _give_time()
        tell(orjson.dumps(asdict(measured(looker))))


def measured(looker: Looker) -> Cost:
    tried = sorted(looker.makers, key=lambda maker: looker.cost(maker(SHORT)), reverse=True)[:2]
    medium, worst = max(((looker.cost(maker(MEDIUM)), maker) for maker in tried), key=lambda pair: pair[0])
    return Cost(looker.name, worst.__doc__ or "", medium, looker.cost(worst(looker.most)), looker.most)


def _give_time() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(time.process_time()) + PATIENCE, hard))


def _patterns() -> Iterator[Looker]:
    from postback import logs
    from receiver import config
    from tests.support import worst_texts

    logs.hide(config.settings({"secret_key": ["a" * 64, "a" * 63 + "b", "0" * 40], "channels": {}}))
    for used in worst_texts.every_pattern():
        yield Looker(f"{used.name} {used.method}", used.run, worst_texts.against(used.pattern))


def _parsers() -> Iterator[Looker]:
    from tests.support import worst_fields

    return worst_fields.of_carriers()


def _fields() -> Iterator[Looker]:
    from tests.support import worst_fields

    return worst_fields.of_callers()


KINDS = {"patterns": _patterns, "parsers": _parsers, "fields": _fields}

if __name__ == "__main__":
    told(KINDS[sys.argv[1]](), lambda line: print(line.decode(), flush=True))
