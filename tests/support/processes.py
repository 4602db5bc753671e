"""Real processes to try things on: started with a piece of Python, watched, and ended at the end."""

import os
import pwd
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.support.patience import PATIENCE

ROOT = Path(__file__).parents[2]


@contextmanager
def python(
    code: str,
    *arguments: str,
    env: Mapping[str, str] = {},
    interpreter: str = sys.executable,
    uid: int | None = None,
    cwd: Path = Path("/"),
) -> Iterator[subprocess.Popen[str]]:
    """A Python that runs *code* with our packages importable; killed on the way out if it still lives."""
    where = os.pathsep.join([str(ROOT), *(path for path in sys.path if path.endswith("site-packages"))])
    process = subprocess.Popen(  # noqa: S603
        [interpreter, "-c", code, *arguments],
        env={**os.environ, "PYTHONPATH": where, **env}, cwd=cwd, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        user=uid, group=uid, extra_groups=None if uid is None else [],
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def line(process: subprocess.Popen[str]) -> str:
    """The next line that it prints; when it has ended instead, what it said about that."""
    assert process.stdout
    assert process.stderr
    return process.stdout.readline().strip() or process.stderr.read().strip()


def alive(pid: int) -> bool:
    """Whether a process with that pid runs; a zombie does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def children(pid: int) -> list[int]:
    """The processes that *pid* has started."""
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    return [int(child) for child in listed]


def parent(pid: int) -> int:
    """The process that has started *pid*."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """*pid* and its children do nothing. A server gives no answer then, neither on its connections nor on new
    ones: the kernel still accepts them."""
    pids = [pid, *children(pid)]
    try:
        for one in pids:
            with suppress(ProcessLookupError):  # a connection that has just been closed
                os.kill(one, signal.SIGSTOP)
        yield
    finally:
        for one in pids:
            with suppress(ProcessLookupError):  # it had ended already, and its parent has just looked
                os.kill(one, signal.SIGCONT)


def eventually(condition: Callable[[], bool], timeout: float = PATIENCE) -> bool:
    """Whether *condition* comes true within *timeout* seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def may_walk_to(path: Path) -> bool:
    """Whether an account without any rights can reach *path* and read there."""
    return all(step.stat().st_mode & 0o005 == 0o005 for step in (path, *path.parents))


def interpreter_for_everybody() -> str | None:
    """A Python that an account without rights can run: ours if it may, else the distribution's."""
    own = Path(sys.executable).resolve()
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    found = [path for path in (own, Path("/usr/bin") / version) if path.exists() and may_walk_to(path)]
    return str(found[0]) if found else None


def nobody() -> int:
    return pwd.getpwnam("nobody").pw_uid
