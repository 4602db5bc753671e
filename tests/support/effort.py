"""What a process spent."""

import os
from pathlib import Path


def cpu_seconds(pid: int) -> float:
    """Returns the processor time of the process *pid* so far, in user and kernel mode (proc(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
