"""Connections that wait for their caller's next request, and an end to those that too many others need."""

import resource
from functools import cache
from typing import Protocol
from weakref import WeakKeyDictionary


class Closing(Protocol):
    """A connection that can be closed."""

    def part(self) -> None: ...


class Idle:
    """The idle connections of one server, those that have been idle longest first."""

    def __init__(self) -> None:
        self._waiting: dict[Closing, None] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, connection: Closing) -> None:
        self._waiting[connection] = None

    def remove(self, connection: Closing) -> None:
        self._waiting.pop(connection, None)

    def close_oldest(self) -> None:
        """Closes the connection that has been idle longest, if there is one."""
        for connection in self._waiting:
            self.remove(connection)
            connection.part()
            return


_idle: WeakKeyDictionary[object, Idle] = WeakKeyDictionary()


def of(server: object) -> Idle:
    """Returns the idle connections of *server*, whatever it is known by."""
    found = _idle.get(server)
    if found is None:
        found = _idle[server] = Idle()
    return found


@cache
def room() -> int:
    """Returns how many connections leave a quarter of the process's file descriptors for everything else."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft - soft // 4
