"""The rows that the SQL functions take, field for field as ``receiver/sql/types.sql`` declares them."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import uuid_utils
from asyncpg.pgproto import pgproto


def new_id() -> UUID:
    """A UUIDv7, of the class that asyncpg itself makes: so it is made and written several times faster."""
    return wire_uuid(uuid_utils.uuid7().bytes)


def wire_uuid(value: bytes | str) -> UUID:
    """A UUID from its 16 bytes or its text, as `new_id` makes them. Raises ``ValueError``."""
    made: UUID = pgproto.UUID(value)
    return made


class PayloadRow(NamedTuple):
    id: UUID
    channel: str
    state: str
    reason: str | None
    method: str
    query: str
    headers: str
    body: bytes
    peer: str | None
    received_at: datetime


class EventRow(NamedTuple):
    id: UUID
    key: UUID
    type: str
    channel: str
    provider: str
    source: str
    received_at: datetime
    status: str | None = None
    bits: int = 0
    part: int = 0
    attempt: int = 1
    provider_status: str | None = None
    provider_code: str | None = None
    provider_message: str | None = None
    error_class: str | None = None
    error_specificity: int | None = None
    occurred_at: datetime | None = None
    payload_id: UUID | None = None
    message_id: UUID | None = None
    submission_id: UUID | None = None
    provider_message_id: str | None = None
    batch_recipient: str = ""
    inbound: bool = False
    candidate: UUID | None = None
    kind: str | None = None
    our_number: str | None = None
    contact: str | None = None
    client_reference: str | None = None
    guess_since: datetime | None = None
    guess_calling: bool = False


class ConfirmationRow(NamedTuple):
    id: UUID
    kind: str
    text: str
    numbers: list[str]
    expires_at: datetime


class ConsentRow(NamedTuple):
    """*groups* is JSON, an array of arrays of our numbers; None where all count as one."""

    id: UUID
    message_id: UUID | None
    our_number: str | None
    contact: str
    contact_hashes: list[bytes]
    groups: str | None
    opts_out: bool
    only_when_out: bool
    at: datetime
    source: str
    certainty: str
    word: str | None
    said_by: str | None = None
    told_by: str = "report"
    payload_id: UUID | None = None
    confirmation: ConfirmationRow | None = None


class InboundRow(NamedTuple):
    candidate: UUID
    conversation: UUID
    our_number: str
    answers: str | None
    text: str | None
    subject: str | None
    participants: list[str]
    thread: str | None
    metadata: str
    consent: ConsentRow | None = None


class MediaRow(NamedTuple):
    message_id: UUID
    position: int
    id: UUID
    url: str
    content_type: str | None
    state: str
    size: int | None = None
    sha256: bytes | None = None
    name: str | None = None


class FetchedRow(NamedTuple):
    """*marks* is JSON, an object."""

    message_id: UUID
    position: int
    attempts: int
    state: str
    again_in: timedelta | None = None
    reason: str | None = None
    url: str | None = None
    content_type: str | None = None
    size: int | None = None
    sha256: bytes | None = None
    name: str | None = None
    text: str | None = None
    marks: str | None = None
    consent: ConsentRow | None = None


class TemplateRow(NamedTuple):
    template_id: UUID | None
    submission_id: UUID | None
    candidate: UUID
    channel: str
    provider: str
    provider_template_id: str | None
    state: str
    error_class: str | None
    error_code: str | None
    error_message: str | None
    provider_message_id: str | None = None


class MessageRow(NamedTuple):
    id: UUID
    request: int
    batch: UUID
    channel: str
    provider: str
    kind: str
    our_number: str | None
    contact: str
    client_reference: str | None
    conversation: UUID
    text: str | None
    subject: str | None
    fallback_text: str | None
    expires_at: datetime | None
    template_id: UUID | None
    options: str
    metadata: str
    contact_hashes: Sequence[bytes] = ()
    scope: list[str] | None = None
    conversation_number: str | None = None
    thread: str | None = None
    slides: str | None = None


class IdempotencyRow(NamedTuple):
    request: int
    scope: str
    key: str
    request_hash: bytes
    message_ids: list[UUID]


class SettledRow(NamedTuple):
    id: UUID
    submission_id: UUID
    again_in: timedelta | None
    report_within: timedelta | None
    send_at: datetime | None = None
    expires_at: datetime | None = None
