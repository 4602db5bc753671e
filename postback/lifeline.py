"""What makes a child process end with the process that started it, even when that one is killed."""

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable

# <sys/prctl.h>
_PR_SET_PDEATHSIG = 1


def die_with_parent(sent: signal.Signals) -> Callable[[], None] | None:
    """A ``preexec_fn`` by which the kernel sends *sent* to the child once its parent is gone.

    It runs after subprocess's ``user=`` has changed the uid, because that change would clear it again.
    Linux only; None elsewhere. The kernel watches the thread that forked, not the process, so a child of a
    thread that ends early would be stopped for no reason: call this, and spawn, in the main thread.
    """
    if sys.platform != "linux":
        return None
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("A process that must die with its parent has to be spawned in the main thread.")
    # Looked up before the fork: between fork and exec the child should load and allocate as little as it can.
    prctl = ctypes.CDLL(None).prctl
    parent, number = os.getpid(), int(sent)

    def tie() -> None:
        prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)
        if os.getppid() != parent:  # killed between fork and prctl, so no signal will come
            os.kill(os.getpid(), signal.SIGKILL)

    return tie
