"""What is written of an accepted send: a message, its files and its first event for every recipient."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

import orjson
from uuid_utils.compat import uuid7

from models.events import Submission
from models.status import STATUS_BIT, Status
from receiver import attachments
from receiver.config import ChannelSettings
from receiver.correlate import key
from receiver.optouts import OptOuts
from receiver.providers.base import Provider
from receiver.requests import SendRequest
from receiver.rows import EventRow, IdempotencyRow, MediaRow, MessageRow


@dataclass(frozen=True, slots=True)
class Accepted:
    """An API call's rows; its number within the batch is not known before it is written."""

    messages: list[MessageRow]
    files: list[MediaRow]
    events: list[EventRow]
    idempotency: IdempotencyRow | None
    #: by when Postgres was to have it, on its own clock, each time that it was given it
    deadlines: list[datetime] = field(default_factory=list)

    @property
    def ids(self) -> list[UUID]:
        return [message.id for message in self.messages]

    def add(
        self,
        submission: Submission,
        request: SendRequest,
        channel: ChannelSettings,
        provider: Provider,
        opt_outs: OptOuts,
    ) -> None:
        """A message with a recipient of its own."""
        message_id, contact = uuid7(), submission.recipient or ""
        self.messages.append(
            MessageRow(
                id=message_id,
                request=0,
                batch=submission.id,
                channel=channel.name,
                provider=provider.name,
                kind=submission.kind,
                our_number=submission.sender,
                contact=contact,
                client_reference=request.client_reference,
                conversation=uuid7(),
                text=submission.text,
                subject=submission.subject,
                fallback_text=submission.fallback_text,
                expires_at=submission.expires_at,
                template_id=request.template_id,
                options=orjson.dumps(dict(submission.options)).decode(),
                metadata=orjson.dumps(request.metadata).decode(),
                contact_hashes=opt_outs.hashes(contact),
                scope=opt_outs.scope(submission.sender),
            )
        )
        self.files.extend(
            attachments.row(message_id, position, file) for position, file in enumerate(submission.media)
        )
        self.events.append(_accepted(message_id, channel.name, provider.name))


def _accepted(message_id: UUID, channel: str, provider: str) -> EventRow:
    return EventRow(
        message_id=message_id,
        channel=channel,
        provider=provider,
        id=uuid7(),
        key=key("accepted"),
        type=f"message.{Status.ACCEPTED}",
        status=Status.ACCEPTED,
        bits=STATUS_BIT[Status.ACCEPTED],
        source="api",
        attempt=0,
        received_at=datetime.now(UTC),
    )
