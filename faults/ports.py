"""Ports of 127.0.0.1 for processes that are started later."""

import socket
from contextlib import suppress
from random import SystemRandom

#: below those that the system gives to whoever asks for any, which another process might be given meanwhile
FIRST, LAST = 10_000, 30_000


def free_port() -> int:
    """Returns a TCP port that nobody listens on at this moment."""
    random = SystemRandom()
    while True:
        port = random.randrange(FIRST, LAST)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
