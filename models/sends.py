"""Values of a send: a provider makes a ``Call`` of a ``Submission``, and an ``Outcome`` of an ``Answer``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from models.errors import ErrorClass
from models.status import Status


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file that we hold. *size* is in bytes; they lie under their *sha256* in the data directory."""

    id: UUID
    sha256: bytes
    size: int


@dataclass(frozen=True, slots=True)
class OutgoingMedia:
    """A file to send, by the address where the carrier fetches it. *content_type* is our word for it.

    *content* and *name* are there for carriers that take the file itself (``takes_files``), *file* where it
    was uploaded to us. *pointer* is the JSON pointer of where the caller named it, empty once that is no
    matter.
    """

    url: str
    content_type: str | None = None
    content: bytes | None = None
    name: str | None = None
    file: StoredFile | None = None
    pointer: str = ""

    @property
    def size(self) -> int | None:
        """Bytes, None while nobody has fetched it."""
        if self.content is not None:
            return len(self.content)
        return self.file.size if self.file else None


@dataclass(frozen=True, slots=True)
class Hosted:
    """The words of a file's server about it: its type without parameters, in lower case, and its *length* in
    bytes, each None where it does not say; *chunked* where it sends it so (Transfer-Encoding)."""

    content_type: str | None = None
    length: int | None = None
    chunked: bool = False


@dataclass(frozen=True, slots=True)
class Slide:
    """A part of an MMS that is shown at once: the files at these places among the submission's media, and a
    text. *pointer* is the JSON pointer of where the caller said so, empty once that is no matter."""

    media: tuple[int, ...] = ()
    text: str | None = None
    pointer: str = ""


@dataclass(frozen=True, slots=True)
class Submission:
    """One call that we ask a provider to make. *reference* travels as the carrier's client reference, *id*
    where there is none.

    *action* is ``send`` or ``save_template``; a send with *provider_template_id* sends a stored message.
    *recipients* are all of a call that goes to several, *recipient* is the first of them. *slides* say which
    file and which text stand together, for carriers that have slides (``has_slides``);
    without any, the provider lays the media out.
    """

    id: UUID
    action: str
    sender: str | None
    recipient: str | None
    text: str | None = None
    subject: str | None = None
    media: Sequence[OutgoingMedia] = ()
    fallback_text: str | None = None
    expires_at: datetime | None = None
    provider_template_id: str | None = None
    template_name: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    kind: str = "mms"
    recipients: tuple[str, ...] = ()
    slides: Sequence[Slide] = ()
    reference: str | None = None

    @property
    def wire_reference(self) -> str:
        return self.reference or str(self.id)


@dataclass(frozen=True, slots=True)
class Call:
    """An HTTP request to a carrier. *headers* may hold credentials: never log one."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """A carrier's HTTP answer, whole. *received_at* is when it came, None where nobody knows."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    received_at: datetime | None = None


class Fate(StrEnum):
    """The end of a call."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    THROTTLED = "throttled"  # again later
    NOT_SENT = "not_sent"  # no connection: again later
    UNDECIDED = "undecided"  # the request left and no usable answer came: never resent by itself


@dataclass(frozen=True, slots=True)
class Outcome:
    """The meaning of an answer. *status* is the rung the message reaches, *retry_after* is in seconds.

    *names_batch*: the ids name the whole call, so they are kept once per recipient. *results* holds, by
    recipient as it stands in the submission, what became of those whose fate differs from the rest.
    *warnings* are sentences about what was sent although its carrier may not take it. *sender* is the number
    that the carrier says it sends from, *send_at* and *expires_at* are when and until when, *occurred_at* is
    its own time of the answer.
    """

    fate: Fate
    provider_message_ids: tuple[str, ...] = ()
    provider_template_id: str | None = None
    status: Status | None = None
    provider_code: str | None = None
    provider_message: str | None = None
    error: ErrorClass | None = None
    retry_after: float | None = None
    names_batch: bool = False
    results: "Mapping[str, Outcome]" = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    sender: str | None = None
    send_at: datetime | None = None
    expires_at: datetime | None = None
    occurred_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Problem:
    """A limit of the carrier that a send breaks: *pointer* is the JSON pointer of the field."""

    pointer: str
    detail: str
    code: str = "invalid_field"
