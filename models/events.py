"""Values that a provider makes of a carrier's request: reports, inbound messages, news of templates.

A provider touches no socket, clock or table.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from models.errors import ErrorClass
from models.status import Status

#: stands for all recipients of a batch
EVERY = "*"


class Unreadable(Exception):
    """A body that the provider cannot make sense of; its message says why. The payload is kept."""


@dataclass(frozen=True, slots=True)
class Request:
    """A carrier's request as it came. Header names are lower case; *query* and *body* are raw bytes.

    *received_at* is for checks that need a clock, which providers have none of.
    """

    method: str
    query: bytes
    headers: Mapping[str, str]
    body: bytes
    received_at: datetime = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Report:
    """One delivery report: news of a message that somebody sent.

    *client_reference* is what the carrier echoes of our call, *status* is None for a word that nobody
    knows, *sender* and *recipient* are normalised numbers, None where the carrier names none, and
    *identity* holds what makes two reports the same report. *batch_recipient* is the recipient where the
    carrier's id names a whole batch, `EVERY` where it reports on all of them at once.
    """

    provider_message_id: str | None
    provider_status: str | None
    status: Status | None
    identity: tuple[str | None, ...]
    client_reference: str | None = None
    provider_code: str | None = None
    provider_message: str | None = None
    error: ErrorClass | None = None
    sender: str | None = None
    recipient: str | None = None
    batch_recipient: str = ""
    kind: str = "sms"
    delivered_as: str | None = None
    occurred_at: datetime | None = None
    part: int = 0


@dataclass(frozen=True, slots=True)
class MediaPart:
    """A file of an inbound message: where it lies with the carrier, or its *content* where that came inside
    the request, and what the carrier says it is."""

    url: str
    content_type: str | None = None
    content: bytes | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Inbound:
    """One message from a person to one of our numbers. *identity* is what makes two of them the same.

    Where a carrier says which message this one answers: *answers* is that message's id with the carrier,
    *client_reference* what the carrier echoes of the call that sent it.
    """

    provider_message_id: str | None
    identity: tuple[str | None, ...]
    sender: str | None = None
    recipient: str | None = None
    participants: tuple[str, ...] = ()
    text: str | None = None
    subject: str | None = None
    media: tuple[MediaPart, ...] = ()
    kind: str = "sms"
    provider_status: str | None = None
    occurred_at: datetime | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    answers: str | None = None
    client_reference: str | None = None


class TemplateState(StrEnum):
    """Where a stored message stands with the carrier. The later word wins, whatever the order of arrival:
    a template of which one part could not be encoded stays failed."""

    PENDING = "pending"
    READY = "ready"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class TemplateReport:
    """News of a message stored with the carrier; it belongs to no message of ours. *provider_message_id* is
    the carrier's id of the call that stored it."""

    provider_template_id: str | None
    state: TemplateState
    provider_status: str
    client_reference: str | None = None
    error: ErrorClass | None = None
    provider_message: str | None = None
    provider_message_id: str | None = None


Event = Report | Inbound | TemplateReport
