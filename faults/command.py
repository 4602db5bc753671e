"""A command of ours as a process: when it is ready, what it says, which processes are under it, its end."""

import asyncio
import signal
from pathlib import Path
from urllib.parse import urlsplit

from faults import processes

#: seconds for a process to say that it is ready, recovery after a crash included: a limit and no expectation,
#: for the machine may have a dozen other things to do
PATIENCE = 300.0


class Command:
    """A process of ours; its standard error goes to *log*."""

    def __init__(self, process: asyncio.subprocess.Process, name: str, log: Path) -> None:
        self.name, self.log = name, log
        self._process = process
        #: what it said after ``ready``
        self.said = ""

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.returncode is None

    @property
    def address(self) -> tuple[str, int]:
        url = urlsplit(self.said)
        return url.hostname or "", url.port or 0

    async def ready(self) -> None:
        """Raises ``RuntimeError`` with its last words when it ends instead."""
        assert self._process.stdout
        async with asyncio.timeout(PATIENCE):
            line = (await self._process.stdout.readline()).decode()
        if not line.startswith("ready "):
            words = self.log.read_text(encoding="utf-8").strip().splitlines()[-3:]
            raise RuntimeError(f"{self.name} did not start: {words}")
        self.said = line.split()[1]

    async def spoken(self) -> str:
        """All that it prints, once it has ended. Raises ``RuntimeError`` when it fails."""
        assert self._process.stdout
        said = (await self._process.stdout.read()).decode().strip()
        if await self.ended():
            raise RuntimeError(f"{self.name} failed: {self.log.read_text(encoding='utf-8')}")
        return said

    def pids(self, *kinds: str) -> list[int]:
        """Its descendants that are one of *kinds* (`processes.descendants`), itself included."""
        return [pid for pid, kind in processes.descendants(self.pid).items() if kind in kinds]

    def send(self, sent: signal.Signals) -> None:
        processes.send(self.pid, sent)

    async def ended(self, within: float = PATIENCE) -> int:
        """The exit code. Raises ``TimeoutError``."""
        async with asyncio.timeout(within):
            return await self._process.wait()

    async def end(self, sent: signal.Signals = signal.SIGTERM) -> int:
        if self.alive:
            self.send(sent)
        return await self.ended()

    async def erase(self) -> None:
        """SIGKILL to it and to all that descends from it, as if the machine's power had gone."""
        for pid in sorted(processes.descendants(self.pid)):
            processes.send(pid, signal.SIGKILL)
        await self.ended()
