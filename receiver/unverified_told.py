"""The log's account of requests that prove nothing: one line a minute, however many there are."""

import asyncio
from collections import Counter

import structlog

log = structlog.get_logger()

#: seconds between two lines
PAUSE = 60.0
#: channels, and places of errors, that a line names
_NAMED = 5


class UnverifiedTold:
    """Tells of the first request at once, and of those that follow in sum."""

    def __init__(self) -> None:
        self._channels: Counter[str] = Counter()
        self._errors: Counter[str] = Counter()
        self._not_kept = 0
        self._peer: str | None = None
        self._timer: asyncio.TimerHandle | None = None

    def failed(self, error: str) -> None:
        """A check of a request that proves nothing could not be run, at the place *error*."""
        self._errors[error] += 1

    def heard(self, channel: str, peer: str | None, *, kept: bool) -> None:
        self._channels[channel] += 1
        self._not_kept += not kept
        self._peer = peer
        if self._timer is None:
            self._tell()

    def _tell(self) -> None:
        self._timer = None
        if not self._channels:
            return
        errors = {"errors": dict(self._errors.most_common(_NAMED))} if self._errors else {}
        log.warning(
            "unverified",
            requests=self._channels.total(),
            not_kept=self._not_kept,
            channels=dict(self._channels.most_common(_NAMED)),
            last_peer=self._peer,
            **errors,
        )
        self._channels.clear()
        self._errors.clear()
        self._not_kept = 0
        self._timer = asyncio.get_running_loop().call_later(PAUSE, self._tell)
