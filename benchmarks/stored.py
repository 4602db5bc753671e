"""What lies in Postgres: the messages that reports are about, and every acknowledged request, or not."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol
from uuid import UUID

import orjson

from benchmarks.traffic import CHANNEL, OUR_NUMBER, Known
from models.status import STATUS_BIT, Status
from receiver import db


@dataclass(frozen=True, slots=True)
class Balance:
    """Acknowledged requests that are not stored, or not whole, and those that are stored twice."""

    lost: int
    doubled: int


class Store(Protocol):
    """Where a contender keeps what it acknowledges."""

    async def mark(self) -> Any:
        """Where its tables end now."""

    async def since(self, mark: Any, origin: str) -> Mapping[bytes, tuple[int, int]]:
        """Of each request stored after *mark*, by its identity: how often it is there whole, and how often
        any part of it is."""

    def identity(self, body: bytes) -> bytes:
        """What tells the request with *body* from all others."""


async def balance(store: Store, mark: Any, origin: str, acknowledged: Iterable[bytes]) -> Balance:
    """Holds what was *acknowledged*, bodies, against what is stored since *mark*."""
    stored = await store.since(mark, origin)
    counts = [stored.get(store.identity(body), (0, 0)) for body in acknowledged]
    return Balance(lost=sum(whole == 0 for whole, _ in counts), doubled=sum(part > 1 for _, part in counts))


class PostbackStore:
    """A request is stored whole with its payload, byte for byte, and an event of that payload in the timeline
    of the message that its tracking-id names."""

    def __init__(self, database_url: str) -> None:
        self._url = database_url

    async def prepare(self, messages: Sequence[Known]) -> None:
        """*messages* as they are once the carrier has accepted them."""
        now = datetime.now(UTC)
        seen = STATUS_BIT[Status.ACCEPTED] | STATUS_BIT[Status.QUEUED]
        facts = ("outbound", "api", CHANNEL, "sinch_mms", "mms", OUR_NUMBER)
        tables = {
            "message": (
                "id direction origin channel provider kind our_number contact seen version updated_at",
                [(m.id, *facts, m.contact, seen, 2, now) for m in messages],
            ),
            "submission": (
                "id recipient message_id channel contact attempt",
                [(m.submission, "", m.id, CHANNEL, m.contact, 1) for m in messages],
            ),
            "reference": (
                "provider_message_id channel recipient inbound message_id",
                [(m.tracking_id, CHANNEL, "", False, m.id) for m in messages],
            ),
        }
        async with connected(self._url) as connection:
            for table, (columns, records) in tables.items():
                await connection.copy_records_to_table(
                    table, schema_name="postback", columns=columns.split(), records=records
                )
            await connection.execute("VACUUM ANALYZE")

    async def mark(self) -> tuple[int, UUID]:
        async with connected(self._url) as connection:
            seq = await connection.fetchval("SELECT seq FROM postback.feed_head")
            last = await connection.fetchval("SELECT id FROM postback.payload ORDER BY id DESC LIMIT 1")
        return seq, last or UUID(int=0)

    async def since(self, mark: tuple[int, UUID], origin: str) -> Mapping[bytes, tuple[int, int]]:
        async with connected(self._url) as connection:
            rows = await connection.fetch(
                """SELECT p.body, count(e.id) AS whole, greatest(count(e.id), count(DISTINCT p.id)) AS part
                   FROM postback.payload p
                   LEFT JOIN (
                       postback.event e
                       JOIN postback.message m ON m.id = e.message_id AND m.origin = $3
                       JOIN postback.reference r ON r.message_id = m.id AND r.channel = m.channel
                   ) ON e.payload_id = p.id AND e.seq > $1 AND p.message_ids = ARRAY[m.id]
                       AND r.provider_message_id = convert_from(p.body, 'UTF8')::json ->> 'tracking-id'
                   WHERE p.id > $2 GROUP BY p.body""",
                *mark, origin,
            )  # fmt: skip
        return {row["body"]: (row["whole"], row["part"]) for row in rows}

    def identity(self, body: bytes) -> bytes:
        return body


class ByHandStore:
    """A request is stored with its event."""

    def __init__(self, database_url: str) -> None:
        self._url = database_url

    async def mark(self) -> int:
        async with connected(self._url) as connection:
            return int(await connection.fetchval("SELECT coalesce(max(id), 0) FROM event"))

    async def since(self, mark: int, origin: str) -> Mapping[bytes, tuple[int, int]]:
        async with connected(self._url) as connection:
            rows = await connection.fetch(
                """SELECT m.tracking_id, e.code, e.occurred_at, count(*) AS times
                   FROM event e JOIN message m ON m.id = e.message_id WHERE e.id > $1 GROUP BY 1, 2, 3""",
                mark,
            )
        return {_joined(*row[:3]): (row["times"], row["times"]) for row in rows}

    def identity(self, body: bytes) -> bytes:
        fields = orjson.loads(body)
        return _joined(fields["tracking-id"], fields["code"], datetime.fromisoformat(fields["timestamp"]))


def _joined(tracking_id: str, code: str, occurred_at: datetime) -> bytes:
    return f"{tracking_id} {code} {occurred_at.timestamp():.0f}".encode()


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Any]:
    connection = await db.connect(url)
    try:
        yield connection
    finally:
        await connection.close()
