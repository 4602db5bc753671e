"""The end of a test that hangs."""

import asyncio
import io
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.support.patience import COMMAND

#: seconds that a test may take, more than any wait in it may; and between two tries to end it
LONGEST, AGAIN = 2 * COMMAND, 30.0


class Hangs(BaseException):
    """A test took too long. The tests themselves catch none of these."""


@contextmanager
def ends_in_time(name: str, seconds: float = LONGEST) -> Iterator[None]:
    """Raises ``Hangs`` in the main thread, where tests run, with the stacks of all tasks."""

    def late(*_: Any) -> None:
        raise Hangs(f"{name} took more than {seconds:g} s\n{_tasks()}")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _tasks() -> str:
    try:
        tasks = asyncio.all_tasks(asyncio.get_running_loop())
    except RuntimeError:
        return ""
    shown = io.StringIO()
    for task in tasks:
        task.print_stack(file=shown)
    return shown.getvalue()
