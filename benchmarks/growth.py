"""What a webhook costs in processor time when the tables have grown: ours and Postgres's."""

import itertools
from statistics import median

from benchmarks import load, machine
from benchmarks.contenders import Contender
from benchmarks.traffic import KnownReports

RATE, CONNECTIONS = 2000.0, 128


async def measure(
    small: Contender,
    large: Contender,
    traffic: KnownReports,
    postgres_pid: int,
    *,
    rounds: int,
    seconds: float,
) -> tuple[float, float]:
    """CPU seconds per 1,000 reports that are acknowledged, with few events stored and with many; at the same
    rate, in turns, medians."""
    contenders = (small, large)
    serials = [itertools.count(), itertools.count()]
    found: list[list[float]] = [[], []]
    for _ in range(rounds):
        for place, contender in enumerate(contenders):
            before = machine.cpu_seconds(*contender.pids, postgres_pid)
            measured = await load.opened(
                contender.address, traffic.request, serials[place], rate=RATE, connections=CONNECTIONS,
                warm_up=0.0, seconds=seconds,
            )  # fmt: skip
            spent = machine.cpu_seconds(*contender.pids, postgres_pid) - before
            found[place].append(spent / measured.statuses[200] * 1000)
    return median(found[0]), median(found[1])
