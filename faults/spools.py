"""The spool as somebody sees it who looks at its files: `receiver.spool` keeps them."""

import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from faults.machine import Machine


def files(machine: Machine) -> list[Path]:
    return sorted((machine.data_dir / "spool").glob("*.sqlite"))


def set_aside(machine: Machine) -> list[Path]:
    """The files that were found damaged."""
    return sorted((machine.data_dir / "spool" / "damaged").glob("*.sqlite"))


def waiting(machine: Machine) -> int:
    """Records in all files, whoever owns them; a file that goes while it is read holds none."""
    total = 0
    for path in files(machine):
        with suppress(sqlite3.DatabaseError), closing(_opened(path)) as file:
            total += file.execute("SELECT count(*) FROM record").fetchone()[0]
    return total


def _opened(path: Path) -> sqlite3.Connection:
    # read-only: a file that its owner has just removed must not come to life again
    return sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)
