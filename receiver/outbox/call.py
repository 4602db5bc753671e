"""A call on its way out of the queue: the rows that are claimed for it, then the submission to make."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import orjson
from uuid_utils.compat import uuid7

from models.sends import OutgoingMedia, Slide, StoredFile, Submission

#: how long a claim may wait for its turn, and a call for its answer (a call ends after 30 s, and so does the
#: fetching of the files that go out inside it; a look at files that the carrier fetches ends after 8 s)
CLAIM_LEASE = timedelta(seconds=30)
CALL_LEASE = timedelta(seconds=45)
CALL_WITH_FILES_LEASE = timedelta(seconds=75)


@dataclass(frozen=True, slots=True)
class Claim:
    """The rows of one call that this sender may make, *turn_in* seconds from now under the channel's rate.

    *submission_id* is the call's, if it comes to one; *until* is when the claim ends, on database time.
    Messages of *reference_kinds* go out with a reference: the app's own with *app_reference*, if it has one.
    """

    ids: tuple[UUID, ...]
    turn_in: float
    per_recipient: bool = False
    call_lease: timedelta = CALL_LEASE
    until: datetime | None = None
    submission_id: UUID = field(default_factory=uuid7)
    reference_kinds: frozenset[str] = frozenset()
    app_reference: bool = False


@dataclass(frozen=True, slots=True)
class PendingCall:
    """A call that is marked ``calling``: the submission to make now, and which attempt it is.

    *recipients* is whom each of its rows is for. *awaits_template*: the stored message that is to be sent
    has no carrier's id yet.
    """

    kind: str
    attempt: int
    submission: Submission
    recipients: dict[UUID, str | None]
    awaits_template: bool = False


def pending_call(rows: Sequence[asyncpg.Record]) -> PendingCall:
    row = rows[0]
    stored: dict[str, Any] = orjson.loads(row["content"] or "{}")
    media = stored.get("media") if row["kind"] == "template" else orjson.loads(row["media"] or "[]")
    slides = stored.get("slides") if row["kind"] == "template" else orjson.loads(row["slides"] or "[]")
    recipients = {member["id"]: member["contact"] for member in rows}
    submission = Submission(
        id=row["submission_id"],
        action="save_template" if row["kind"] == "template" else "send",
        sender=row["our_number"],
        recipient=row["contact"],
        text=stored.get("text", row["text"]),
        subject=stored.get("subject", row["subject"]),
        media=tuple(_media(file) for file in media or ()),
        fallback_text=stored.get("fallback_text", row["fallback_text"]),
        expires_at=row["expires_at"],
        provider_template_id=row["provider_template_id"],
        template_name=row["name"],
        options=orjson.loads(row["options"] or "{}"),
        kind=row["message_kind"] or "mms",
        slides=tuple(Slide(tuple(slide["media"]), slide["text"]) for slide in slides or ()),
        reference=row["reference"],
        recipients=tuple(dict.fromkeys(number for number in recipients.values() if number)),
    )
    awaits = row["template_id"] is not None and row["provider_template_id"] is None
    return PendingCall(row["kind"], row["attempt"], submission, recipients, awaits)


def _media(file: Mapping[str, Any]) -> OutgoingMedia:
    held = None
    if file.get("sha256"):
        held = StoredFile(UUID(file["id"]), bytes.fromhex(file["sha256"]), file["size"])
    return OutgoingMedia(file["url"], file["content_type"], name=file.get("name"), file=held)
