"""The processes under ours: which there are, what each of them is, and the end of one."""

import asyncio
import os
import signal
from contextlib import suppress
from pathlib import Path


def descendants(root: int) -> dict[int, str]:
    """The living processes that descend from *root*, itself included: pid and what it is.

    *up*, *serve*, *worker*, *send*, *forward*, *simulate* are commands of ours (a worker is a *serve* that a
    *serve* has started), *postmaster* is the server, *backend* one of its connections, the rest is *other*.
    """
    parents, lines = {}, {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            if fields[0] != "Z":
                pid = int(stat.parent.name)
                parents[pid] = int(fields[1])
                lines[pid] = (
                    (stat.parent / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                )
    wanted = [root] if root in parents else []
    for pid in wanted:
        wanted.extend(child for child, parent in parents.items() if parent == pid)
    return {pid: _kind(lines[pid]) for pid in wanted}


def _kind(line: str) -> str:
    if line.startswith("postgres: "):
        return "backend" if "[local]" in line else "other"
    if "/postgres -D " in line:
        return "postmaster"
    _, found, rest = line.partition("-m postback ")
    command = rest.split()[0] if found else "other"
    return "worker" if command == "serve" and "--shared" in rest else command


def server(root: int) -> list[int]:
    """The postmaster under *root* and all that it has started."""
    masters = [pid for pid, kind in descendants(root).items() if kind == "postmaster"]
    return [pid for master in masters for pid in descendants(master)]


def send(pid: int, sent: signal.Signals) -> None:
    """*sent* to *pid*, which may have ended already."""
    with suppress(ProcessLookupError):
        os.kill(pid, sent)


async def gone(pid: int, within: float = 60.0) -> None:
    """Returns when *pid* has ended. Raises ``TimeoutError``."""
    async with asyncio.timeout(within):
        while pid in descendants(pid):  # noqa: ASYNC110 - not our child
            await asyncio.sleep(0.02)
