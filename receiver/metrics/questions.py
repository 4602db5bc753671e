"""What stands in the database is asked for when somebody reads the metrics, and not counted.

Each question looks at an index and at a bounded number of rows, so that a scrape costs the same with a
million queued sends as with none.
"""

import asyncio
import time
from collections.abc import Sequence
from uuid import UUID

import asyncpg

from receiver import db
from receiver.metrics.instruments import Gauge, Values
from receiver.sql import qualified
from receiver.waiting import Waiting

_waiting = Waiting("metrics")

#: seconds for all questions together: a scrape has to answer while Postgres is away, or frozen
PATIENCE = 1.5
#: seconds for which an answer is given again, so that no reader's hurry becomes the database's
FRESH = 1.0
#: rows that are counted; more are told as so many
MOST = 100_000

POSTGRES_UP = Gauge("postback_postgres_up", "Whether Postgres answered the questions of this scrape.")
OUTBOX_SENDS = Gauge("postback_outbox_sends", "Sends in the outbox, by state.", ("channel", "state"))
OUTBOX_ORPHANS = Gauge(
    "postback_outbox_orphans", "Queued sends of a channel that the configuration does not name.", ("channel",)
)
OUTBOX_AGE_SECONDS = Gauge(
    "postback_outbox_age_seconds", "How long the longest-waiting send has been due.", ("channel",)
)
UNCERTAIN = Gauge(
    "postback_uncertain_messages", "Messages whose answer was lost and that nobody has settled."
)
PAYLOADS_KEPT = Gauge("postback_payloads_kept", "Requests kept that somebody has to look at.", ("state",))
SILENCE_SECONDS = Gauge(
    "postback_silence_seconds", "Since the last proven request of the channel's carrier.", ("channel",)
)

MEDIA_PENDING = Gauge("postback_media_pending", "Files of inbound messages that are not fetched yet.")
MEDIA_AGE_SECONDS = Gauge(
    "postback_media_age_seconds", "Since the oldest message came of which a file is not fetched yet."
)
SUBSCRIBER_LAG = Gauge(
    "postback_subscriber_lag", "Numbers of the feed that a subscriber is behind.", ("subscriber",)
)
DELIVERIES_OPEN = Gauge(
    "postback_deliveries_open", "Deliveries that have not succeeded, by state.", ("subscriber", "state")
)

GAUGES = (
    POSTGRES_UP,
    OUTBOX_SENDS,
    OUTBOX_ORPHANS,
    OUTBOX_AGE_SECONDS,
    UNCERTAIN,
    PAYLOADS_KEPT,
    SILENCE_SECONDS,
    MEDIA_PENDING,
    MEDIA_AGE_SECONDS,
    SUBSCRIBER_LAG,
    DELIVERIES_OPEN,
)

_PER_CHANNEL = f"""
SELECT c.channel,
    (SELECT count(*) FROM (SELECT FROM postback.outbox o
     WHERE o.channel = c.channel AND o.state = 'queued' LIMIT {MOST}) q) AS queued,
    (SELECT extract(epoch FROM clock_timestamp() - min(o.next_at)) FROM postback.outbox o
     WHERE o.channel = c.channel AND o.state = 'queued') AS due,
    (SELECT extract(epoch FROM clock_timestamp() - p.received_at) FROM postback.payload p
     WHERE p.channel = c.channel AND p.state <> 'unverified' ORDER BY p.id DESC LIMIT 1) AS silence
FROM unnest($1::text[]) AS c (channel)
"""  # noqa: S608 - a number of ours
_IN_ALL = f"""
SELECT
    (SELECT count(*) FROM (SELECT FROM postback.attention WHERE uncertain LIMIT {MOST}) a) AS uncertain,
    (SELECT count(*) FROM (SELECT FROM postback.payload p
     WHERE p.state = 'quarantined' LIMIT {MOST}) k) AS quarantined,
    (SELECT count(*) FROM (SELECT FROM postback.payload p
     WHERE p.state = 'unverified' LIMIT {MOST}) k) AS unverified,
    (SELECT count(*) FROM (SELECT FROM postback.media f
     WHERE f.state = 'pending' LIMIT {MOST}) m) AS pending_files,
    (SELECT min(m.id::text)::uuid FROM (SELECT f.id FROM postback.media f
     WHERE f.state = 'pending' LIMIT {MOST}) m) AS oldest_file
"""  # noqa: S608 - the same
_LEASED = """
SELECT channel, state, count(*) AS number FROM postback.outbox WHERE state <> 'queued' GROUP BY channel, state
"""

_ORPHANS = f"""
SELECT c.channel,
    (SELECT count(*) FROM (SELECT FROM postback.outbox o
     WHERE o.channel = c.channel AND o.state = 'queued' LIMIT {MOST}) q) AS number
FROM postback.queued_channels() c WHERE c.channel <> ALL ($1::text[])
"""  # noqa: S608 - the same
_PER_SUBSCRIBER = f"""
SELECT s.id::text AS subscriber,
    h.seq - s.cursor - coalesce((SELECT sum(g.until - greatest(g.after, s.cursor)) FROM postback.feed_gap g
                                 WHERE g.until > s.cursor), 0) AS lag, o.state,
    (SELECT count(*) FROM (SELECT FROM postback.delivery d
     WHERE d.subscriber_id = s.id AND d.state = o.state AND d.state <> 'delivered' LIMIT {MOST}) x) AS open
FROM postback.subscriber s CROSS JOIN postback.feed_head h
CROSS JOIN unnest(ARRAY['waiting', 'parked', 'dead']) AS o (state)
"""  # noqa: S608 - the same
_STATEMENTS = (_PER_CHANNEL, _IN_ALL, _LEASED, _PER_SUBSCRIBER, _ORPHANS)

Told = tuple[tuple[Gauge, Values], ...]


class Questions:
    """Asked over a connection of their own, one at a time: a pool may be what is exhausted."""

    def __init__(self, database_url: str, schema: str, channels: Sequence[str]) -> None:
        self._url, self._channels = database_url, list(channels)
        self._statements = [qualified(statement, schema) for statement in _STATEMENTS]
        self._lock = asyncio.Lock()
        self._told: Told = ()
        self._told_at = float("-inf")

    async def ask(self) -> Told:
        """Each gauge with its values; only `POSTGRES_UP` where the database does not answer in time."""
        async with self._lock:
            if time.monotonic() - self._told_at >= FRESH:
                self._told = await self._asked()
                self._told_at = time.monotonic()
            return self._told

    async def _asked(self) -> Told:
        try:
            async with asyncio.timeout(PATIENCE), db.connected(self._url) as connection:
                per_channel, in_all, leased, per_subscriber, orphans = self._statements
                channels = await connection.fetch(per_channel, self._channels)
                sums = await connection.fetchrow(in_all)
                told = _told(channels, sums, await connection.fetch(leased))
                told += _forwarded(await connection.fetch(per_subscriber))
                left = await connection.fetch(orphans, self._channels)
                told += ((OUTBOX_ORPHANS, {(row["channel"],): [float(row["number"])] for row in left}),)
            _waiting.worked(self)
            return told
        except Exception as error:  # noqa: BLE001 - whatever it is, the other numbers are still wanted
            _waiting.failed(self, error)
            return ((POSTGRES_UP, {(): [0.0]}),)


def _told(
    channels: Sequence[asyncpg.Record], sums: asyncpg.Record | None, leased: Sequence[asyncpg.Record]
) -> Told:
    sends: Values = {}
    for row in channels:
        sends |= {(row["channel"], state): [0.0] for state in ("claimed", "calling")}
        sends[row["channel"], "queued"] = [float(row["queued"])]
    for row in leased:
        sends[row["channel"], row["state"]] = [float(row["number"])]
    kept: Values = {(state,): [float(sums[state])] for state in ("quarantined", "unverified")} if sums else {}
    return (
        (POSTGRES_UP, {(): [1.0]}),
        (OUTBOX_SENDS, sends),
        (OUTBOX_AGE_SECONDS, {(row["channel"],): [max(float(row["due"] or 0), 0.0)] for row in channels}),
        (UNCERTAIN, {(): [float(sums["uncertain"])]} if sums else {}),
        (PAYLOADS_KEPT, kept),
        (MEDIA_PENDING, {(): [float(sums["pending_files"])]} if sums else {}),
        (MEDIA_AGE_SECONDS, {(): [_age(sums["oldest_file"])]} if sums else {}),
        (
            SILENCE_SECONDS,
            {
                (row["channel"],): [max(float(row["silence"]), 0.0)]
                for row in channels
                if row["silence"] is not None
            },
        ),
    )


def _age(file_id: UUID | None) -> float:
    """Seconds since a UUIDv7 was made; 0 without one."""
    return max(time.time() - (file_id.int >> 80) / 1000, 0.0) if file_id else 0.0


def _forwarded(rows: Sequence[asyncpg.Record]) -> Told:
    return (
        (SUBSCRIBER_LAG, {(row["subscriber"],): [max(float(row["lag"]), 0.0)] for row in rows}),
        (DELIVERIES_OPEN, {(row["subscriber"], row["state"]): [float(row["open"])] for row in rows}),
    )
