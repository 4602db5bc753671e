"""Which of several hosts takes writes, and the end of connections to the one that did before."""

from collections import defaultdict
from weakref import WeakSet

import structlog

from receiver.db.connection import Direct

log = structlog.get_logger()


class Hosts:
    """The open connections to each host of an address.

    A primary whose machine is gone says nothing, and neither does the network: what waits for its answer, or
    only listens, would wait until the kernel gives up, for hours. Another host that takes writes is the proof
    that it is no primary any more.
    """

    def __init__(self) -> None:
        self._open: defaultdict[int, WeakSet[Direct]] = defaultdict(WeakSet)

    def opened(self, number: int, connection: Direct) -> None:
        """Keeps in mind that *connection* is to host *number*."""
        self._open[number].add(connection)

    def took_over(self, number: int) -> None:
        """Ends the connections to all hosts but *number*, which takes writes now."""
        ended = 0
        for other, connections in self._open.items():
            for connection in [] if other == number else list(connections):
                ended += not connection.is_closed()
                connection.terminate()
        if ended:
            log.warning("another host takes writes", host=number + 1, ended=ended)
