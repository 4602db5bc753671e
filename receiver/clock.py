"""The database's clock, by ours: so that a deadline can be told to a server that may be frozen meanwhile."""

import asyncio
from datetime import datetime, timedelta

#: seconds after which two clocks may have drifted apart by more than a call takes
FRESH = 60.0


class DatabaseClock:
    """Known from what the database last said. Another connection may lead to another server, with another."""

    def __init__(self) -> None:
        #: what the database's clock showed when ours, the loop's, stood at zero; never later than it was
        self._zero: datetime | None = None
        self._heard_at = 0.0

    @property
    def known(self) -> bool:
        return self._zero is not None and asyncio.get_running_loop().time() - self._heard_at < FRESH

    def heard(self, said: datetime) -> None:
        """*said* is the database's time in an answer that has just come. It was read before that, so a
        deadline reckoned by it comes early by the time that the answer took, and never late."""
        self._heard_at = asyncio.get_running_loop().time()
        self._zero = said - timedelta(seconds=self._heard_at)

    def forget(self) -> None:
        self._zero = None

    def at(self, moment: float) -> datetime:
        """The database's time at *moment* on the loop's clock. Raises ``RuntimeError`` before `heard`."""
        if self._zero is None:
            raise RuntimeError("the database has not said yet what time it is")
        return self._zero + timedelta(seconds=moment)
