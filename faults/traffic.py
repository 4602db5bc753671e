"""What the carrier sends: postbacks of Sinch MMS, no two the same, and the same for a seed."""

from collections.abc import Sequence
from random import Random
from typing import Protocol

from benchmarks.traffic import CHANNEL, OUR_NUMBER, TOKEN, ExternalReports, Known, KnownReports

__all__ = ["CHANNEL", "OUR_NUMBER", "PATH", "TOKEN", "Mixed", "Requests"]

PATH = f"/hooks/{CHANNEL}/{TOKEN}"
#: without files, so that nobody goes to fetch any; the subject is not ASCII, because it must survive too
_INBOUND = (
    '{"origin":"MMS_MO","code":"N401","from":"12067%06d","to":"' + OUR_NUMBER[1:] + '","keyword":"INFO",'
    '"tracking-id":"MMSMO%09d","timestamp":"2026-11-21T09:00:00Z","message-subject":"Où est mon colis ? №%d"}'
)


class Requests(Protocol):
    """Bodies by serial number; each is another report or message, with a ``tracking-id`` and one event."""

    def body(self, serial: int) -> bytes: ...


class Mixed:
    """Reports on messages that we sent (*known*, half of all), on messages that somebody else sent, and
    messages from people; *seed* decides which is which."""

    def __init__(self, seed: int, known: Sequence[Known]) -> None:
        self._seed = seed
        self._known, self._external = KnownReports(known), ExternalReports()

    def body(self, serial: int) -> bytes:
        drawn = Random(f"{self._seed} {serial}").random()
        if drawn < 0.5:
            return self._known.body(serial)
        if drawn < 0.8:
            return self._external.body(serial)
        return (_INBOUND % (serial % 1000, serial, serial)).encode()
