"""Postgres dies in every way it can, and the supervisor brings it back: nobody types a command."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from time import perf_counter

from faults import processes
from faults.audit import settled
from faults.callers import Answer, Callers
from faults.command import Command
from faults.journal import OK
from faults.machine import Machine, machine
from faults.rows import Result, Run, row
from faults.traffic import Mixed
from postback import postgres_account, postgres_binaries

CONNECTIONS = 24
#: seconds in which intake has to be back, and the share of its former rate that it has then
BACK, SHARE = 5.0, 0.9
#: seconds over which the rate before and after is measured
MEASURED = 2.0
#: seconds between two kills of a backend
EVERY = 0.2

Fault = Callable[[Machine, Command, float], Awaitable[None]]


async def _kill_all(broken: Machine, up: Command, seconds: float) -> None:
    for pid in processes.server(up.pid):
        processes.send(pid, signal.SIGKILL)


async def _stop_immediately(broken: Machine, up: Command, seconds: float) -> None:
    binaries = postgres_binaries.find()
    cluster = broken.data_dir / f"pg{binaries.major}"
    account = postgres_account.choose(cluster, binaries.directory)
    stopped = await asyncio.create_subprocess_exec(
        *account.prefix, binaries.program("pg_ctl"), "stop", "-m", "immediate", "-D", str(cluster),
        stdout=asyncio.subprocess.DEVNULL, **account.spawn_options,
    )  # fmt: skip
    if await stopped.wait():
        raise RuntimeError("pg_ctl could not stop the server")


async def _terminate_backends(broken: Machine, up: Command, seconds: float) -> None:
    async with broken.connection() as connection:
        for _ in range(round(seconds / EVERY)):
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
            )
            await asyncio.sleep(EVERY)


async def _kill_a_backend(broken: Machine, up: Command, seconds: float) -> None:
    """The server answers the SIGKILL of a single backend with the end of all of them, and recovers."""
    for _ in range(round(seconds / EVERY)):
        for pid in up.pids("backend")[:1]:
            processes.send(pid, signal.SIGKILL)
        await asyncio.sleep(EVERY)


FAULTS: dict[str, Fault] = {
    "killed with all backends": _kill_all,
    "pg_ctl stop -m immediate": _stop_immediately,
    "backends terminated every 200 ms": _terminate_backends,
    "a backend killed every 200 ms": _kill_a_backend,
}


@row(
    2,
    "postgres",
    "SIGKILL of Postgres and all its backends, `pg_ctl stop -m immediate`, backends terminated and killed "
    "every 200 ms",
    "the same; intake back at 90 % within 5 s; nobody restarts anything by hand",
)
async def postgres(run: Run) -> Result:
    result = Result()
    async with machine() as broken:
        up = await broken.up()
        journal = run.journal()
        callers = Callers(broken.address, Mixed(run.seed, await broken.sent_messages(60_000)), journal)
        names = list(FAULTS)[:2] if run.short else list(FAULTS) * 2
        for number, name in enumerate(names, 1):
            run.progress(f"round {number} of {len(names)}, {name}")
            back = await _round(broken, up, callers, FAULTS[name], 1.0 if run.short else 5.0)
            result.demand(back <= BACK, f"{name}: intake was back after {back:.1f} s")
            worst = f"{name}, back after s"
            result.figures[worst] = max(round(back, 1), float(result.figures.get(worst, 0)))
        result.demand(up.alive, "the supervisor ended")
        result.add(await settled(broken, journal.read()))
        result.rounds = len(names)
    return result


async def _round(broken: Machine, up: Command, callers: Callers, fault: Fault, seconds: float) -> float:
    """Seconds from the end of the fault until intake had its former rate again; infinite if it never did."""
    stop = asyncio.Event()
    load = asyncio.create_task(callers.crowd(CONNECTIONS, stop))
    await asyncio.sleep(0.5)  # until they are all under way
    begin = perf_counter()
    await asyncio.sleep(MEASURED)
    former = _rate(callers.answers, begin, begin + MEASURED)
    await fault(broken, up, seconds)
    ended = perf_counter()
    await asyncio.sleep(BACK + MEASURED)
    stop.set()
    await load
    await callers.resend()
    return back_after(callers.answers, former, ended)


def back_after(answers: list[Answer], former: float, ended: float) -> float:
    """Seconds after *ended*, in steps of 0.1, from which `MEASURED` seconds have *former*'s share."""
    for step in range(round(BACK * 10) + 1):
        since = ended + step / 10
        if _rate(answers, since, since + MEASURED) >= SHARE * former:
            return step / 10
    return float("inf")


def _rate(answers: list[Answer], begin: float, end: float) -> float:
    """Acknowledgements per second between two moments of ``perf_counter``."""
    return sum(answer.outcome == OK and begin <= answer.at + answer.took < end for answer in answers) / (
        end - begin
    )
