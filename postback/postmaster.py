"""``postmaster.pid``: what a running Postgres says about itself, and whether it still is that Postgres.

The lines of the file: https://github.com/postgres/postgres/blob/master/src/include/utils/pidfile.h
"""

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Postmaster:
    """One reading of the file. *status* is ``starting``, ``ready``, ``stopping``, ``standby`` or empty."""

    cluster: Path
    pid: int
    socket_dir: str
    status: str

    @property
    def alive(self) -> bool:
        """Whether that process is this cluster's Postgres, and not somebody who was given its pid since,
        which is the rule when a container starts again on its old volume."""
        argv = _argv(self.pid)
        return bool(argv) and Path(argv[0]).name == "postgres" and str(self.cluster) in argv

    @property
    def pid_in_use(self) -> bool:
        return bool(_argv(self.pid))


def read(cluster: Path) -> Postmaster | None:
    """The file of *cluster*, None when there is none. Lines that are not written yet read as empty."""
    try:
        lines = _file(cluster).read_text(encoding="utf-8", errors="replace").splitlines()
        pid = abs(int(lines[0]))  # a server in single-user mode writes it with a minus sign
    except (OSError, IndexError, ValueError):
        return None
    lines += [""] * (8 - len(lines))
    return Postmaster(cluster, pid, lines[4].strip(), lines[7].strip())


def discard(stale: Postmaster) -> None:
    """Removes what a dead server left behind, whose pid by now belongs to another process.

    Postgres itself refuses to start while that pid is alive and may be signalled. Where it is not, the file
    stays: Postgres then looks whether backends of the dead server still hold its shared memory.
    """
    _file(stale.cluster).unlink(missing_ok=True)
    for socket_or_its_lock in stale.cluster.glob(".s.PGSQL.*"):
        socket_or_its_lock.unlink(missing_ok=True)


def _file(cluster: Path) -> Path:
    return cluster / "postmaster.pid"


def _argv(pid: int) -> list[str]:
    """The command line of a process, empty when there is none or it is a zombie."""
    if not Path("/proc/self/cmdline").exists():
        return _argv_from_ps(pid)
    try:
        words = Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return []
    return words.split("\0")[:-1]


def _argv_from_ps(pid: int) -> list[str]:
    # macOS has no /proc, and ps does not say where a word ends: a path with spaces in it is not recognised.
    answer = subprocess.run(  # noqa: S603
        ["/bin/ps", "-ww", "-o", "args=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return answer.stdout.split()
