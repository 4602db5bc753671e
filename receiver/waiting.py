"""Tells once that something is waited for, with the reason, and once that the wait is over.

What polls fails at every turn of its loop; a line for each would bury what else is in the log (docs/logs.md).
"""

import time
from weakref import WeakValueDictionary

import asyncpg
import structlog
from sqlalchemy.exc import SQLAlchemyError

from receiver.db import DatabaseError

log = structlog.get_logger()

#: what fails while Postgres is away: one wait, in whatever way it is noticed
_AWAY = (
    OSError,
    DatabaseError,
    SQLAlchemyError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)


class Waiting:
    """The wait of one *component* of a process, which may have many parties: ten channels that cannot send
    wait together, and the wait is over when none of them waits any more."""

    def __init__(self, component: str) -> None:
        self._component = component
        #: by identity, so that anything may be one
        self._parties: WeakValueDictionary[int, object] = WeakValueDictionary()
        self._told: set[str] = set()
        self._since = 0.0

    def failed(self, party: object, error: BaseException) -> None:
        """*party* could not do its work because of *error*, and is going to try again. Told at the first
        failure of a wait, and at the first of each other kind."""
        if not len(self._parties):
            self._since, self._told = time.monotonic(), set()
        self._parties[id(party)] = party
        kind = "away" if isinstance(error, _AWAY) else type(error).__name__
        if kind not in self._told:
            self._told.add(kind)
            reason = f"{type(error).__name__}: {error}".removesuffix(": ")
            log.warning("waiting", component=self._component, reason=reason)

    def worked(self, party: object) -> None:
        """*party* did its work. Told when nobody waits any more, and somebody did."""
        if self._parties.pop(id(party), None) is not None and not len(self._parties):
            waited = round(time.monotonic() - self._since, 1)
            log.warning("going on", component=self._component, waited=waited)
