"""The spool itself breaks, in the files of a real ``postback serve``, while Postgres is away."""

import asyncio
import signal
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from random import Random
from resource import RLIM_INFINITY, RLIMIT_FSIZE, prlimit

from faults import processes, spools
from faults.audit import settled
from faults.callers import Answer, Callers
from faults.journal import OK
from faults.machine import Machine, machine
from faults.ports import free_port
from faults.rows import Result, Run, row
from faults.traffic import Mixed

#: requests that are in the spool when it breaks
KEPT = 30
#: bytes: SQLite's header of a log, a frame with its page, and that frame's own header
LOG_HEADER, LOG_FRAME, FRAME_HEADER = 32, 24 + 4096, 24
#: seconds for a spool that is mended to be used again
MENDED = 10.0


@dataclass(frozen=True, slots=True)
class Case:
    """A broken spool in the making: *callers* call `serve`, Postgres is away, and *random* decides."""

    broken: Machine
    callers: Callers
    random: Random
    result: Result


@row(
    4,
    "spool",
    "the spool unwritable, full, its log torn, its file damaged, its owner dead",
    "503 with Retry-After, never a silent drop; what was written before a torn end survives; damage is set "
    "aside and reported; a living worker adopts a dead one's spool",
)
async def spool(run: Run) -> Result:
    result, random = Result(), run.random
    names = ["unwritable", "torn"] if run.short else [*CASES, *["torn"] * 5]
    async with machine() as broken:
        await broken.database()
        known = await broken.sent_messages()
        for number, name in enumerate(names):
            run.progress(f"{number + 1} of {len(names)}, {name}")
            journal = run.journal(f"journal-{number}")
            callers = Callers(broken.address, Mixed(run.seed, known), journal, first=number * 1000)
            await broken.serve(workers=1)
            await callers.some(5)
            await broken.server.end()
            taken = await CASES[name](Case(broken, callers, random, result))
            if not broken.server.alive:
                await broken.database()
            if not broken.web.alive:
                await broken.serve(workers=1)
            await callers.resend()
            told = journal.read()
            result.add(await settled(broken, {n: told[n] for n in told if n not in taken}, within=30))
            key = f"{name}: acknowledged, and lost with the disk"
            if taken:
                result.figures[key] = int(result.figures.get(key, 0)) + len(taken)
            callers.hang_up()
            await broken.web.end()
    return result


async def _unwritable(case: Case) -> set[int]:
    """A file stands where the directory was."""
    spool, aside = case.broken.data_dir / "spool", case.broken.data_dir / "spool-aside"
    _accepted(case, await case.callers.some(KEPT))
    spool.rename(aside)
    spool.touch()
    _refused(case, "unwritable", await case.callers.some(KEPT))
    spool.unlink()
    aside.rename(spool)
    await _usable_again(case, "unwritable")
    return set()


async def _full(case: Case) -> set[int]:
    """No file of the worker grows any more."""
    _accepted(case, await case.callers.some(KEPT))
    pid = case.broken.web.pid
    prlimit(pid, RLIMIT_FSIZE, (max(path.stat().st_size for path in _written(case)), RLIM_INFINITY))
    answers = await case.callers.some(KEPT)
    prlimit(pid, RLIMIT_FSIZE, (RLIM_INFINITY, RLIM_INFINITY))
    _refused(case, "full", answers)
    await _usable_again(case, "full")
    return set()


async def _torn(case: Case) -> set[int]:
    """Power fails, and the log's end is not what was written; what ended before that must survive."""
    ends: list[tuple[int, int]] = []
    for _ in range(KEPT):
        [answer] = await case.callers.some(1)
        _accepted(case, [answer])
        ends.append((answer.serial, _log(case).stat().st_size))
    await _kill(case)
    log = _log(case)
    cut = case.random.randrange(log.stat().st_size)
    with log.open("r+b") as file:
        file.truncate(cut)
    return {serial for serial, end in ends if end > cut}


async def _damaged(case: Case) -> set[int]:
    """A byte of one record is another in the main file: that one is set aside, and the rest is saved."""
    answers = await case.callers.some(KEPT)
    _accepted(case, answers)
    await _kill(case)
    [path] = spools.files(case.broken)
    with closing(sqlite3.connect(path)) as file:
        file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    victim = case.random.choice(answers).serial
    body = case.callers.body(victim)
    whole = path.read_bytes()
    path.write_bytes(whole.replace(body, body.replace(b'"tracking-id"', b'"tracking_id"'), 1))
    case.result.demand(path.read_bytes() != whole, "damaged: the record was not found in the file")
    await _comes_up(case, "damaged")
    return {victim}


async def _beheaded(case: Case) -> set[int]:
    """A byte of the log that belongs to no record is another, which ends the log there for SQLite."""
    _accepted(case, await case.callers.some(KEPT))
    await _kill(case)
    log = _log(case)
    data = bytearray(log.read_bytes())
    frames = (len(data) - LOG_HEADER) // LOG_FRAME
    at = case.random.choice([0, *(LOG_HEADER + LOG_FRAME * frame for frame in range(frames))])
    data[at + case.random.randrange(FRAME_HEADER)] ^= 0xFF
    log.write_bytes(data)
    await _comes_up(case, "beheaded")
    return set()


async def _destroyed(case: Case) -> set[int]:
    """Nothing of the file can be read."""
    answers = await case.callers.some(KEPT)
    _accepted(case, answers)
    await _kill(case)
    for path in _written(case):
        path.write_bytes(case.random.randbytes(path.stat().st_size))
    await _comes_up(case, "destroyed")
    return {answer.serial for answer in answers}


async def _orphaned(case: Case) -> set[int]:
    """Another worker finds what a dead one has left."""
    heir = await _heir(case.broken)
    _accepted(case, await case.callers.some(KEPT))
    await _kill(case)
    await case.broken.database()
    try:
        async with asyncio.timeout(30):
            while spools.waiting(case.broken):  # noqa: ASYNC110 - another process empties it
                await asyncio.sleep(0.1)
    except TimeoutError:
        case.result.demand(False, "orphaned: nobody took the dead worker's spool")
    processes.send(heir, signal.SIGTERM)
    await processes.gone(heir)
    return set()


CASES: dict[str, Callable[[Case], Awaitable[set[int]]]] = {
    "unwritable": _unwritable,
    "full": _full,
    "torn": _torn,
    "damaged": _damaged,
    "beheaded": _beheaded,
    "destroyed": _destroyed,
    "orphaned": _orphaned,
}


def _accepted(case: Case, answers: list[Answer]) -> None:
    refused = [answer.status for answer in answers if answer.outcome != OK]
    case.result.demand(not refused, f"a whole spool answered {refused}")


def _refused(case: Case, name: str, answers: list[Answer]) -> None:
    other = [answer.status for answer in answers if answer.status != 503 or not answer.retry_after]
    case.result.demand(not other, f"{name}: not answered 503 with Retry-After, but {sorted(set(other))}")


async def _usable_again(case: Case, name: str) -> None:
    deadline = asyncio.get_running_loop().time() + MENDED
    while (await case.callers.some(1))[0].outcome != OK:
        if asyncio.get_running_loop().time() > deadline:
            case.result.demand(False, f"{name}: not used again {MENDED:.0f} s after it was mended")
            return
        await asyncio.sleep(0.2)


async def _comes_up(case: Case, name: str) -> None:
    """With Postgres back: one start is enough, the damage lies aside and stands in the log."""
    before = len(spools.set_aside(case.broken))
    await case.broken.database()
    served = await case.broken.serve(workers=1)
    _accepted(case, await case.callers.some(5))
    case.result.demand(len(spools.set_aside(case.broken)) > before, f"{name}: nothing was set aside")
    log = served.log.read_text(encoding="utf-8")
    case.result.demand("damaged" in log, f"{name}: the log does not say so")
    case.result.demand(served.alive, f"{name}: the worker died of it")


async def _kill(case: Case) -> None:
    await case.broken.web.erase()
    case.callers.hang_up()


async def _heir(broken: Machine) -> int:
    """The pid of a second worker, which is called by nobody."""
    await broken.database()
    first = broken.web
    other = await broken.serve(workers=1, port=free_port())
    broken.web = first
    await broken.server.end()
    return other.pid


def _written(case: Case) -> list[Path]:
    """The spool's files with what SQLite keeps beside them."""
    return [path for path in (case.broken.data_dir / "spool").glob("*.sqlite*") if path.stat().st_size]


def _log(case: Case) -> Path:
    [path] = spools.files(case.broken)
    return path.with_name(f"{path.name}-wal")
