"""The machine, as far as a reader has to know it, and what its processes use of it."""

import os
import platform
import tempfile
from contextlib import suppress
from pathlib import Path
from statistics import median
from time import perf_counter

_TICKS = os.sysconf("SC_CLK_TCK")


def facts(scratch: Path) -> dict[str, str | int | float]:
    """Cores, processor, kernel, Python, and the milliseconds that a write to the disk of *scratch* takes."""
    return {
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 0,
        "processor": _processor(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "fsync_ms": round(_fsync(scratch), 3),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown"
    )


def _fsync(scratch: Path, times: int = 200) -> float:
    """The median of *times* writes of a Postgres page, each forced to the disk."""
    taken = []
    with tempfile.TemporaryFile(dir=scratch, buffering=0) as file:
        for _ in range(times):
            begin = perf_counter()
            file.write(bytes(8192))
            os.fdatasync(file.fileno()) if hasattr(os, "fdatasync") else os.fsync(file.fileno())
            taken.append((perf_counter() - begin) * 1000)
    return median(taken)


def cpu_seconds(*pids: int) -> float:
    """Processor time of *pids* and of all that descend from them so far; 0 where there is no /proc."""
    total, wanted = 0, set(pids)
    for pid, parent, ticks in sorted(_processes()):
        if pid in wanted or parent in wanted:
            wanted.add(pid)
            total += ticks
    return total / _TICKS


def resident(pid: int) -> float:
    """MiB of memory that *pid* and all that descend from it hold; 0 where there is no /proc."""
    total, wanted = 0.0, {pid}
    for child, parent, _ in sorted(_processes()):
        if child in wanted or parent in wanted:
            wanted.add(child)
            with suppress(OSError):
                status = Path(f"/proc/{child}/status").read_text(encoding="ascii", errors="replace")
                total += sum(
                    int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmRSS:")
                )
    return total


def busy_seconds() -> float:
    """Processor time that all cores together have worked since the machine started; 0 without a /proc."""
    try:
        with Path("/proc/stat").open(encoding="ascii") as stat:
            user, nice, system, _idle, _waiting, *others = map(int, stat.readline().split()[1:9])
    except OSError:
        return 0.0
    return (user + nice + system + sum(others)) / _TICKS


def _processes() -> list[tuple[int, int, int]]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue  # it has ended since
        found.append((int(stat.parent.name), int(fields[1]), sum(map(int, fields[11:15]))))
    return found
