"""What a caller knows of his own requests: a line on the disk before each, and what became of it."""

import asyncio
import os
from dataclasses import dataclass, field
from pathlib import Path

#: answered 2xx; answered otherwise or never sent, and to be sent again; sent, and nobody knows
OK, FAILED, INDETERMINATE = "ok", "failed", "indeterminate"


@dataclass(slots=True)
class Told:
    """One request, with the outcome of each try; a try that was cut off has none."""

    body: bytes
    tries: int = 0
    outcomes: list[str] = field(default_factory=list)

    @property
    def acknowledged(self) -> bool:
        return OK in self.outcomes


class Journal:
    """Lines ``> serial body`` and ``< serial outcome``; a body is one line of JSON."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("ab")
        self._waiting: list[asyncio.Future[None]] = []
        self._syncing: asyncio.Task[None] | None = None

    async def intend(self, serial: int, body: bytes) -> None:
        """Returns when the line is on the disk; those who come together share an fsync."""
        self._file.write(b"> %d %s\n" % (serial, body))
        done = asyncio.get_running_loop().create_future()
        self._waiting.append(done)
        if self._syncing is None or self._syncing.done():
            self._syncing = asyncio.create_task(self._sync())
        await done

    def outcome(self, serial: int, outcome: str) -> None:
        self._file.write(b"< %d %s\n" % (serial, outcome.encode()))

    def close(self) -> None:
        self._file.close()

    def read(self) -> dict[int, Told]:
        """Every request so far, by its serial number, as the file has it."""
        self._file.flush()
        told: dict[int, Told] = {}
        for line in self.path.read_bytes().splitlines():
            mark, serial, rest = line.split(b" ", 2)
            if mark == b">":
                told.setdefault(int(serial), Told(rest)).tries += 1
            else:
                told[int(serial)].outcomes.append(rest.decode())
        return told

    async def _sync(self) -> None:
        while self._waiting:
            waiting, self._waiting = self._waiting, []
            self._file.flush()
            await asyncio.to_thread(os.fdatasync, self._file.fileno())
            for done in waiting:
                if not done.done():
                    done.set_result(None)
