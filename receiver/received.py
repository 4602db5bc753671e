"""What a try to fetch a file of an inbound message comes to, as rows. Pure."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from urllib.parse import unquote, urlsplit
from uuid import UUID

import asyncpg
import orjson

from receiver.correlate import key, marks
from receiver.keywords import verdict
from receiver.media import UNKNOWN, Links, file_name, is_layout, text_in, type_of
from receiver.optouts import OptOuts
from receiver.rows import EventRow, FetchedRow, new_id

_LONGEST_REASON = 500


@dataclass(frozen=True, slots=True)
class Part:
    """A file that was claimed, for the time that its *attempts* says. *content_type* is the carrier's word,
    *received_at* when the message came."""

    message_id: UUID
    position: int
    id: UUID
    url: str
    content_type: str | None
    attempts: int
    channel: str
    provider: str
    contact: str | None
    received_at: datetime

    @classmethod
    def of(cls, row: asyncpg.Record) -> "Part":
        """From a row of ``claim_media``."""
        return cls(**{name: row[name] for name in cls.__dataclass_fields__})


@dataclass(frozen=True, slots=True)
class Unpacked:
    """What the bytes of a file are: the *text* of the message, *layout* that nobody is shown, or a file."""

    content_type: str
    text: str | None = None
    layout: bool = False


@dataclass(frozen=True, slots=True)
class Settled:
    """*event* tells of it, None where the file is tried again."""

    part: Part
    row: FetchedRow
    event: EventRow | None

    @property
    def outcome(self) -> str:
        return "again" if self.row.state == "pending" else self.row.state


def unpack(part: Part, content: bytes, content_type: str | None) -> Unpacked:
    """*content_type* is what its server says; of "some bytes", the carrier's word for it tells more."""
    said = (content_type or "").partition(";")[0].strip().lower()
    claimed = content_type if said not in ("", UNKNOWN) else part.content_type
    if is_layout(content, claimed):
        return Unpacked("", layout=True)
    text = text_in(content, claimed)
    return Unpacked(type_of(content, claimed) or UNKNOWN, text)


def stored(part: Part, content: bytes, content_type: str, links: Links) -> Settled:
    name = file_name(unquote(urlsplit(part.url).path), content_type)
    row = _row(part, "stored")._replace(
        url=links.to(part.id, name),
        content_type=content_type,
        size=len(content),
        sha256=sha256(content).digest(),
        name=name,
    )
    return Settled(part, row, _event(part, "media.stored"))


def said(part: Part, text: str, opt_outs: OptOuts) -> Settled:
    """A text part becomes text, and what it asks is asked from the moment at which the message came."""
    asked = verdict(text)
    consent = (
        opt_outs.asked(asked, part.message_id, part.channel, part.contact, part.received_at, None)
        if asked
        else None
    )
    row = _row(part, "text")._replace(text=text, marks=orjson.dumps(marks(asked)).decode(), consent=consent)
    return Settled(part, row, _event(part, "media.stored"))


def dropped(part: Part) -> Settled:
    return Settled(part, _row(part, "dropped"), _event(part, "media.stored"))


def failed(part: Part, reason: str) -> Settled:
    reason = _clean(reason)
    event = _event(part, "media.failed")._replace(provider_message=reason)
    return Settled(part, _row(part, "failed")._replace(reason=reason), event)


def postponed(part: Part, reason: str, again_in: timedelta) -> Settled:
    return Settled(part, _row(part, "pending")._replace(reason=_clean(reason), again_in=again_in), None)


def _row(part: Part, state: str) -> FetchedRow:
    return FetchedRow(part.message_id, part.position, part.attempts, state)


def _event(part: Part, kind: str) -> EventRow:
    """It names no request: what a replay reads there again never told of it."""
    return EventRow(
        id=new_id(),
        key=key("media", str(part.position)),
        type=kind,
        channel=part.channel,
        provider=part.provider,
        source="timer",
        received_at=datetime.now(UTC),
        part=part.position,
        attempt=0,
        message_id=part.message_id,
    )


def _clean(reason: str) -> str:
    """Servers' words may be in it."""
    return reason.replace("\0", "").encode("utf-8", "replace").decode()[:_LONGEST_REASON]
