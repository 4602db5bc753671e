"""The sender's queue: claim, mark, settle. The states and their locks are in ``receiver/sql/outbox.sql``.

Two marks stand on a send. ``claimed`` is a lease: if its holder dies, the row is queued again. ``calling``
is committed just before the request leaves: if its holder dies, nobody knows, and it is never sent again by
itself.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import orjson
from uuid_utils.compat import uuid7

from models.errors import SPECIFICITY, ErrorClass
from models.events import Fate, Outcome, OutgoingMedia, StoredFile, Submission, TemplateState
from models.status import Status, bits
from receiver import db
from receiver.commit import Connection, GroupCommit
from receiver.correlate import key
from receiver.rows import EventRow, SettledRow, TemplateRow
from receiver.sql import qualified

#: how long a claim may wait for its turn, and a call for its answer (a call ends after 30 s, and so does
#: the fetching of the files that go out inside it)
CLAIM_LEASE = timedelta(seconds=30)
CALL_LEASE = timedelta(seconds=45)
CALL_WITH_FILES_LEASE = timedelta(seconds=75)


@dataclass(frozen=True, slots=True)
class Claim:
    """The rows of one call that this sender may make, *turn_in* seconds from now under the channel's rate."""

    ids: tuple[UUID, ...]
    turn_in: float
    per_recipient: bool = False
    call_lease: timedelta = CALL_LEASE


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


@dataclass(frozen=True, slots=True)
class Settlement:
    """What became of one row of a call; *again_in* seconds until the next try, None when there is none."""

    id: UUID
    kind: str
    submission_id: UUID
    attempt: int
    channel: str
    provider: str
    outcome: Outcome
    again_in: float | None = None
    recipient: str | None = None
    #: seconds until a report is overdue, None where none is awaited
    report_within: float | None = None


class Outbox:
    """Over connections of its own: some claim, others commit marks and settlements in groups."""

    def __init__(self, database_url: str, schema: str) -> None:
        self._url = database_url
        self._claim = qualified("SELECT * FROM postback.claim($1, $2, $3, $4, $5)", schema)
        self._begin = qualified("SELECT * FROM postback.begin_calls($1, $2, $3, $4)", schema)
        self._settle = qualified("SELECT postback.settle($1, $2, $3)", schema)
        self._expire = qualified("SELECT * FROM postback.expire_leases()", schema)
        self._pool: asyncpg.Pool[asyncpg.Record]
        self._begins = GroupCommit[Claim, PendingCall | None](self._connect, self._write_begins, name="calls")
        self._settlements = GroupCommit[Settlement, None](
            self._connect, self._write_settlements, name="settlements"
        )

    async def open(self) -> None:
        self._pool = await asyncpg.create_pool(db.plain_url(self._url), min_size=1, max_size=2)
        self._begins.open()
        self._settlements.open()

    async def close(self) -> None:
        await self._begins.close()
        await self._settlements.close()
        await self._pool.close()

    async def claim(
        self,
        channel: str,
        calls: int,
        rate: float | None,
        *,
        recipients_per_call: int = 1,
        call_lease: timedelta = CALL_LEASE,
    ) -> list[Claim]:
        """Queued rows of *channel* for up to *calls* calls; *rate* is calls per second, over all senders, and
        *call_lease* how long each call may take."""
        spacing = timedelta(seconds=1 / rate) if rate else None
        rows = await self._fetch(self._claim, channel, calls, recipients_per_call, spacing, CLAIM_LEASE)
        shared: dict[int, list[asyncpg.Record]] = defaultdict(list)
        for row in rows:
            shared[row["call"]].append(row)
        return [
            Claim(
                ids=tuple(row["id"] for row in members),
                turn_in=max(members[0]["turn_in"].total_seconds(), 0.0),
                per_recipient=recipients_per_call > 1 and members[0]["kind"] == "message",
                call_lease=call_lease,
            )
            for _, members in sorted(shared.items())
        ]

    async def begin(self, claim: Claim) -> PendingCall | None:
        """Marks *claim* as ``calling``; None when it was lost meanwhile."""
        return await self._begins.put(claim)

    async def settle(self, settlement: Settlement) -> None:
        await self._settlements.put(settlement)

    async def expire_leases(self) -> list[asyncpg.Record]:
        """Queues dead claims again; answers with the calls whose sender died before it could settle them."""
        return await self._fetch(self._expire)

    async def _fetch(self, statement: str, *values: object) -> list[asyncpg.Record]:
        rows: list[asyncpg.Record] = await self._pool.fetch(statement, *values, timeout=5)
        return rows

    async def _connect(self) -> Connection:
        return await db.connect(self._url)

    async def _write_begins(
        self, connection: Connection, claims: Sequence[Claim]
    ) -> list[PendingCall | None]:
        submissions = [uuid7() for _ in claims]
        members = [(row, call) for call, claim in enumerate(claims) for row in claim.ids]
        rows = await connection.fetch(
            self._begin,
            [row for row, _ in members],
            [submissions[call] for _, call in members],
            [claims[call].per_recipient for _, call in members],
            [claims[call].call_lease for _, call in members],
        )
        begun: dict[UUID, list[asyncpg.Record]] = defaultdict(list)
        for row in rows:
            begun[row["submission_id"]].append(row)
        return [_pending_call(begun[one]) if one in begun else None for one in submissions]

    async def _write_settlements(
        self, connection: Connection, settlements: Sequence[Settlement]
    ) -> list[None]:
        now = datetime.now(UTC)
        await connection.fetch(
            self._settle,
            [
                SettledRow(s.id, s.submission_id, _span(s.again_in), _span(s.report_within))
                for s in settlements
            ],
            [event for s in settlements if s.kind == "message" for event in _events(s, now)],
            [_template(s) for s in settlements if s.kind == "template" and s.again_in is None],
        )
        return [None] * len(settlements)


def _span(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)


def _pending_call(rows: Sequence[asyncpg.Record]) -> PendingCall:
    row = rows[0]
    stored: dict[str, Any] = orjson.loads(row["content"] or "{}")
    media = stored.get("media") if row["kind"] == "template" else orjson.loads(row["media"] or "[]")
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
        recipients=tuple(dict.fromkeys(number for number in recipients.values() if number)),
    )
    awaits = row["template_id"] is not None and row["provider_template_id"] is None
    return PendingCall(row["kind"], row["attempt"], submission, recipients, awaits)


def _media(file: Mapping[str, Any]) -> OutgoingMedia:
    held = None
    if file.get("sha256"):
        held = StoredFile(UUID(file["id"]), bytes.fromhex(file["sha256"]), file["size"])
    return OutgoingMedia(file["url"], file["content_type"], name=file.get("name"), file=held)


def _events(settlement: Settlement, now: datetime) -> Iterator[EventRow]:
    """The event of a settlement: once per id that the carrier gave, so that each id is kept. They are one
    event under one key all the same."""
    outcome = settlement.outcome
    if outcome.status is None:
        return
    for provider_message_id in outcome.provider_message_ids or (None,):
        yield EventRow(
            id=uuid7(),
            key=key("submission", str(settlement.submission_id), outcome.status),
            type=f"message.{outcome.status}",
            channel=settlement.channel,
            provider=settlement.provider,
            source="sender",
            received_at=now,
            status=outcome.status,
            bits=bits(outcome.status),
            attempt=settlement.attempt,
            provider_code=outcome.provider_code,
            provider_message=outcome.provider_message,
            error_class=outcome.error,
            error_specificity=SPECIFICITY[outcome.error] if outcome.error else None,
            message_id=settlement.id,
            provider_message_id=provider_message_id,
            batch_recipient=(settlement.recipient or "") if outcome.names_batch else "",
        )


def _template(settlement: Settlement) -> TemplateRow:
    outcome = settlement.outcome
    refused = outcome.fate is Fate.REFUSED
    return TemplateRow(
        template_id=settlement.id,
        submission_id=settlement.submission_id,
        candidate=uuid7(),
        channel=settlement.channel,
        provider=settlement.provider,
        provider_template_id=outcome.provider_template_id,
        state=TemplateState.FAILED if refused else TemplateState.PENDING,
        error_class=(outcome.error or ErrorClass.UNKNOWN) if refused else None,
        error_code=outcome.provider_code if refused else None,
        error_message=outcome.provider_message if refused else None,
    )


def uncertain(why: str) -> Outcome:
    """The outcome of a call whose answer was lost."""
    return Outcome(Fate.UNDECIDED, status=Status.UNCERTAIN, provider_message=why)
