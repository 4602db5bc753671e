"""What is written of an accepted send: a message, its files and its first event for every recipient."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

import orjson
from uuid_utils.compat import uuid7

from models.sends import Submission
from models.status import STATUS_BIT, Status
from receiver import attachments, slides
from receiver.config import ChannelSettings
from receiver.correlate import key
from receiver.optouts import OptOuts
from receiver.problems import Code, FieldError, invalid
from receiver.providers.base import Provider
from receiver.requests import SendRequest
from receiver.rows import EventRow, IdempotencyRow, MediaRow, MessageRow

#: bytes of content that the rows of one call hold, all recipients together: Postgres writes them in half the
#: second that it has
LARGEST_SEND = 8 << 20


@dataclass(frozen=True, slots=True)
class Content:
    """The content of each recipient's rows: *request* as *submission*, *options*, *metadata* and *slides* as
    JSON, the last None where nothing is said about them."""

    request: SendRequest
    options: str
    metadata: str
    slides: str | None

    @classmethod
    def of(cls, submission: Submission, request: SendRequest, recipients: int) -> "Content":
        """Returns the content of *submission*, before there is a row or a copy of it. Raises ``Problem``
        (422) where the rows of all *recipients* would hold more than `LARGEST_SEND`."""
        options, metadata = orjson.dumps(dict(submission.options)), orjson.dumps(request.metadata)
        layout = orjson.dumps(slides.kept(submission.slides))
        texts = (submission.text, submission.subject, submission.fallback_text)
        size = len(options) + len(metadata) + len(layout)
        size += sum(len(text.encode()) for text in texts if text)
        size += sum(len(file.url) for file in submission.media)
        if size * recipients > LARGEST_SEND:
            detail = (
                f"The message is {size} bytes for each of {recipients} recipients; a call may have "
                f"{LARGEST_SEND} bytes for all of them. Send it to fewer recipients at once."
            )
            raise invalid("/to", detail, Code.CONTENT_TOO_LARGE)
        return cls(
            request, options.decode(), metadata.decode(), layout.decode() if submission.slides else None
        )


@dataclass(frozen=True, slots=True)
class Accepted:
    """An API call's rows; its number within the batch is not known before it is written."""

    messages: list[MessageRow]
    files: list[MediaRow]
    events: list[EventRow]
    idempotency: IdempotencyRow | None
    #: what the carrier advises against
    warnings: Sequence[FieldError] = ()
    #: by when Postgres was to have it, on its own clock, each time that it was given it
    deadlines: list[datetime] = field(default_factory=list)

    @property
    def ids(self) -> list[UUID]:
        return [message.id for message in self.messages]

    def add(
        self,
        submission: Submission,
        content: Content,
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
                client_reference=content.request.client_reference,
                conversation=uuid7(),
                text=submission.text,
                subject=submission.subject,
                fallback_text=submission.fallback_text,
                expires_at=submission.expires_at,
                template_id=content.request.template_id,
                options=content.options,
                metadata=content.metadata,
                slides=content.slides,
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
