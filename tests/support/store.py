"""The store by itself: reports and sends put straight into Postgres, on connections that a test holds."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg
import orjson
from uuid_utils.compat import uuid7

from models.events import Event, Report, Request
from models.sends import Fate, Outcome
from models.status import STATUS_BIT, Status
from receiver import partitions
from receiver.config import ChannelSettings
from receiver.correlate import key
from receiver.ingest import Arrival, Ingest
from receiver.outbox import Outbox, Settlement
from receiver.providers.sinch_mms import SinchMms
from receiver.rows import EventRow, MessageRow, PayloadRow
from receiver.sources import Source
from receiver.sql import qualified

SCHEMA = "postback"
CHANNEL = ChannelSettings.model_validate(
    {"name": "sinch-us", "provider": "sinch_mms", "tokens": ["a-token-of-tests"]}
)
US, THEM = "+18885551234", "+12065550123"
Connection = asyncpg.Connection


def postback(code: str, tracking_id: str | None, **fields: Any) -> dict[str, Any]:
    """A Sinch MMS postback about a message from `US` to `THEM`."""
    body = {
        "origin": "MMS_MT",
        "code": code,
        "to": THEM.removeprefix("+"),
        "from": US.removeprefix("+"),
        "timestamp": "2026-11-21T09:00:01Z",
        "tracking-id": tracking_id,
    }
    return {name: value for name, value in {**body, **fields}.items() if value is not None}


async def without_partitions(db: Any) -> None:
    """Drops all partitions, the default ones too."""
    tables = [f"{table}_p_default" for table in partitions.TABLES]
    tables += [partition.name for partition in await partitions.existing(db, SCHEMA)]
    await db.execute(f"DROP TABLE {', '.join(f'{SCHEMA}.{table}' for table in tables)}")


def parsed(*postbacks: dict[str, Any]) -> list[Event]:
    return SinchMms().parse(Request("POST", b"", {}, orjson.dumps(list(postbacks))), CHANNEL)


def arrival(*postbacks: dict[str, Any], channel: str = CHANNEL.name) -> Arrival:
    """One request with all of *postbacks*."""
    return told(Source(channel, "sinch_mms", US), *parsed(*postbacks))


def told(source: Source, *events: Event) -> Arrival:
    """One request that tells *events*."""
    payload = PayloadRow(
        uuid7(), source.channel, "applied", None, "POST", "", "{}", b"{}", "127.0.0.1", datetime.now(UTC)
    )
    return Arrival(payload, source, events)


def long_winded(sentence: str, *tracking_ids: str) -> Arrival:
    """One request with a report of each of *tracking_ids* that says *sentence*, which may be as long as
    earlier versions kept one."""
    events = parsed(*(postback("N101", tracking_id) for tracking_id in tracking_ids))
    return told(
        Source(CHANNEL.name, "sinch_mms", US),
        *(replace(event, provider_message=sentence) for event in events if isinstance(event, Report)),
    )


async def store(connection: Any, arrivals: Sequence[Arrival]) -> list[str]:
    """Stores *arrivals* as one batch, in the transaction that is open on *connection* if there is one."""
    ingest = Ingest("", SCHEMA)
    return await ingest._write(connection, [ingest._prepare(one) for one in arrivals])


async def send(connection: Any, *, contact: str = THEM, channel: str = CHANNEL.name) -> tuple[UUID, UUID]:
    """A message that is being sent: its id, and that of the submission whose answer has not come yet."""
    message_id, submission_id = uuid7(), uuid7()
    message = MessageRow(
        message_id, 0, message_id, channel, "sinch_mms", "mms", US, contact, "order-42", uuid7(), "hi", None,
        None, None, None, "{}", "{}",
    )  # fmt: skip
    accepted = EventRow(
        uuid7(), key("accepted"), "message.accepted", channel, "sinch_mms", "api", datetime.now(UTC),
        status="accepted", bits=STATUS_BIT[Status.ACCEPTED], attempt=0, message_id=message_id,
    )  # fmt: skip
    await connection.fetch(
        qualified("SELECT * FROM postback.submit($1, $2, $3, $4, $5)", SCHEMA),
        [], [message], [], [accepted], "wake",
    )  # fmt: skip
    await connection.execute(
        "UPDATE postback.outbox SET state = 'calling', submission_id = $2 WHERE id = $1",
        message_id,
        submission_id,
    )
    await connection.execute(
        """INSERT INTO postback.submission (id, recipient, message_id, channel, attempt)
           VALUES ($1, '', $2, $3, 1)""",
        submission_id, message_id, channel,
    )  # fmt: skip
    return message_id, submission_id


async def settle(connection: Any, message_id: UUID, submission_id: UUID, tracking_id: str) -> None:
    """The carrier's answer: accepted, under *tracking_id*."""
    outcome = Outcome(Fate.ACCEPTED, (tracking_id,), status=Status.QUEUED)
    settlement = Settlement(message_id, "message", submission_id, 1, CHANNEL.name, "sinch_mms", outcome)
    await Outbox("", SCHEMA)._write_settlements(connection, [settlement])


async def messages(connection: Any) -> list[asyncpg.Record]:
    rows: list[asyncpg.Record] = await connection.fetch("SELECT * FROM postback.message ORDER BY id")
    return rows


async def timeline(connection: Any, message_id: UUID) -> list[str]:
    """The carrier's code, else our status, of each event in the order of the feed."""
    rows = await connection.fetch(
        """SELECT coalesce(provider_status, status) AS word FROM postback.event
           WHERE message_id = $1 ORDER BY seq""",
        message_id,
    )
    return [row["word"] for row in rows]
