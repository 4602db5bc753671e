"""Rows of ``make faults`` in their short form, as a process of their own."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson

from tests.support.processes import ROOT


def tried(row: str, directory: Path) -> dict[str, Any]:
    """What *row* came to, which held and neither lost nor doubled anything."""
    output = directory / "latest.json"
    ran = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "faults", "--only", row, "--short", "--output", str(output)],
        cwd=ROOT, capture_output=True, text=True, timeout=900, check=False,
    )  # fmt: skip
    assert 0 == ran.returncode, ran.stdout + ran.stderr
    found: dict[str, Any] = orjson.loads(output.read_bytes())["rows"][row]
    assert (0, 0) == (found["lost"], found["doubled"])
    return found
