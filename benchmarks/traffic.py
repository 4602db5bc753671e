"""What a carrier sends, request by request: Sinch MMS postbacks as its pages show them, no two the same."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from uuid_utils.compat import uuid7

CHANNEL, TOKEN = "sinch-us", "a-token-for-benchmarks"
PATH = f"/hooks/{CHANNEL}/{TOKEN}"
OUR_NUMBER = "+18885550100"
#: reports between the N101 of a message and its N102
LAG = 1000
_START = datetime(2026, 11, 21, 9, tzinfo=UTC)

_HEAD = (
    f"POST {PATH} HTTP/1.1\r\n"
    "Host: 127.0.0.1\r\n"
    "User-Agent: Apache-HttpClient/4.5.14 (Java/17.0.9)\r\n"
    "Accept-Encoding: gzip,deflate\r\n"
    "Connection: Keep-Alive\r\n"
    "Content-Type: application/json; charset=utf-8\r\n"
    "Content-Length: %d\r\n\r\n"
).encode()


@dataclass(frozen=True, slots=True)
class Known:
    """A message that the carrier has: our id of it and of its submission, the carrier's, the recipient."""

    id: UUID
    submission: UUID
    tracking_id: str
    contact: str


def known(number: int) -> list[Known]:
    """*number* messages, none of them like another."""
    return [Known(uuid7(), uuid7(), f"MMSMT{place:09}", f"+12065{place:06}") for place in range(number)]


class Traffic(ABC):
    """Requests of one kind, by serial number."""

    name: str
    #: what the messages are that they lead to
    origin: str

    @abstractmethod
    def body(self, serial: int) -> bytes: ...

    def request(self, serial: int) -> bytes:
        body = self.body(serial)
        return _HEAD % len(body) + body


class KnownReports(Traffic):
    """Reports on messages that we sent: N101, and N102 of the same message a good while later."""

    name, origin = "known", "api"

    def __init__(self, messages: Sequence[Known]) -> None:
        self._facts = [
            (m.contact[1:].encode(), m.tracking_id.encode(), str(m.submission).encode()) for m in messages
        ]

    def body(self, serial: int) -> bytes:
        delivered = serial & 1
        turn, place = divmod((serial >> 1) - LAG * delivered, len(self._facts))
        contact, tracking_id, submission = self._facts[place]
        return (_DELIVERED if delivered else _SENT) % (contact, _moment(turn), tracking_id, submission)


class ExternalReports(Traffic):
    """Reports on messages that somebody else sent: each is the first news of its message."""

    name, origin = "foreign", "external"

    def body(self, serial: int) -> bytes:
        return _SENT % (
            b"12065%06d" % (serial % 1_000_000),
            _moment(0),
            b"MMSEX%09d" % serial,
            b"order-%09d" % serial,
        )


class InboundMessages(Traffic):
    """Messages from people; each has written before once a hundred thousand others have. They bring no files:
    those are fetched afterwards, by another process."""

    name, origin = "inbound", "carrier"

    def body(self, serial: int) -> bytes:
        return _INBOUND % (b"12067%06d" % (serial % 100_000), b"MMSMO%09d" % serial, serial)


def _moment(turn: int) -> bytes:
    """The carrier's clock: a second later each time that all messages have had their reports."""
    return _moments.setdefault(turn, f"{_START + timedelta(seconds=turn):%Y-%m-%dT%H:%M:%SZ}".encode())


_moments: dict[int, bytes] = {}

_OURS = OUR_NUMBER[1:].encode()
_SENT = (
    b'{"origin":"MMS_MT","code":"N101","sent-as":"MMS","status":"Sent","status-details":"Message Sent",'
    b'"to":"%s","from":"' + _OURS + b'","timestamp":"%s","tracking-id":"%s","client-reference":"%s"}'
)
_DELIVERED = (
    b'{"origin":"MMS_MT","code":"N102","sent-as":"MMS","status":"Delivered",'
    b'"status-details":"Message Delivered","to":"%s","from":"'
    + _OURS
    + b'","timestamp":"%s","tracking-id":"%s","client-reference":"%s",'
    b'"operator-id":"31003"}'
)
_INBOUND = (
    b'{"origin":"MMS_MO","code":"N401","from":"%s","to":"' + _OURS + b'","keyword":"INFO","tracking-id":"%s",'
    b'"operator-id":"31003","timestamp":"2026-11-21T09:00:00Z","message-subject":"Question %d"}'
)
