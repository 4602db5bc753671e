"""A database with a past: messages with three events each, as the receiver would have left them.

They are written by Postgres itself, months of them in a minute; what matters is what the indexes hold and how
deep they are, and that ids, keys and texts are as long as real ones.
"""

from dataclasses import dataclass
from time import time

from benchmarks.stored import connected
from benchmarks.traffic import CHANNEL, OUR_NUMBER
from models.status import STATUS_BIT, Status

EVENTS_PER_MESSAGE = 3
#: how far back they reach: into last month's partition
DAYS = 20
_SEEN = sum(STATUS_BIT[status] for status in (Status.QUEUED, Status.SENT, Status.DELIVERED))

#: the id of the *n*th message: a UUIDv7 whose time grows with it
_ID = """(lpad(to_hex(($3 - $2 * 86400000.0 * ($1 - n) / $1)::bigint), 12, '0')
    || '7' || substr(md5({0}), 1, 3) || '8' || substr(md5({0}), 4, 15))::uuid"""
_MESSAGE_ID = _ID.format("n::text")
_PAYLOAD_ID = _ID.format("n || 'payload' || k")
_STEPS = (
    "(VALUES (0, 'queued', NULL), (1, 'sent', 'N101'), (2, 'delivered', 'N102')) AS step (k, status, code)"
)

_FILL = (
    f"""INSERT INTO postback.message (id, direction, origin, channel, provider, kind, our_number, contact,
            client_reference, seen, version, updated_at)
        SELECT {_MESSAGE_ID}, 'outbound', 'api', '{CHANNEL}', 'sinch_mms', 'mms', '{OUR_NUMBER}',
            '+1206' || lpad((n * 7919 % 10000000)::text, 7, '0'), 'past-' || n, {_SEEN}, 3, now()
        FROM generate_series(1::bigint, $1) n""",
    f"""INSERT INTO postback.message_body (message_id, text, options, metadata_, participants)
        SELECT {_MESSAGE_ID}, 'Your order ' || n || ' is on its way and will be with you tomorrow.',
            '{{}}', '{{}}', '{{}}' FROM generate_series(1::bigint, $1) n""",
    f"""INSERT INTO postback.submission (id, recipient, message_id, channel, attempt)
        SELECT {_ID.format("n || 'submission'")}, '', {_MESSAGE_ID}, '{CHANNEL}', 1
        FROM generate_series(1::bigint, $1) n""",
    f"""INSERT INTO postback.reference (provider_message_id, channel, recipient, inbound, message_id)
        SELECT 'MMSPAST' || lpad(n::text, 9, '0'), '{CHANNEL}', '', false, {_MESSAGE_ID}
        FROM generate_series(1::bigint, $1) n""",
    f"""INSERT INTO postback.event (message_id, key, id, seq, version, type, channel, status, bits, effective,
            source, part, attempt, provider_status, received_at, payload_id, replay, superseded)
        SELECT {_MESSAGE_ID}, md5(n || step.status)::uuid, {_PAYLOAD_ID}, (n - 1) * 3 + k + 1, k + 1,
            'message.' || step.status, '{CHANNEL}', step.status, 0, true, 'report', 0, 1, step.code, now(),
            CASE WHEN k > 0 THEN {_PAYLOAD_ID} END, 0, false
        FROM generate_series(1::bigint, $1) n, {_STEPS} ORDER BY n, k""",
    f"""INSERT INTO postback.payload (id, channel, state, method, query, headers, body, peer,
            received_at, message_ids)
        SELECT {_PAYLOAD_ID}, '{CHANNEL}', 'applied', 'POST', '',
            '{{"host": "127.0.0.1", "user-agent": "Apache-HttpClient/4.5.14 (Java/17.0.9)",
               "content-type": "application/json; charset=utf-8", "content-length": "262"}}',
            convert_to(repeat('x', 262), 'UTF8'), '127.0.0.1', now(), ARRAY[{_MESSAGE_ID}]
        FROM generate_series(1::bigint, $1) n, {_STEPS} WHERE k > 0 ORDER BY n, k""",
)


@dataclass(frozen=True, slots=True)
class Past:
    """*messages* lie in the database, the *n*th (from 1) as `tracking_id` and `client_reference` name it."""

    messages: int
    bytes_per_message: float

    def tracking_id(self, n: int) -> str:
        return f"MMSPAST{n:09}"

    def client_reference(self, n: int) -> str:
        return f"past-{n}"


async def fill(url: str, events: int) -> Past:
    """*events* of a third as many messages, with the requests that told them."""
    messages, moment = events // EVENTS_PER_MESSAGE, f"{time() * 1000:.0f}"
    async with connected(url) as connection:
        size = "SELECT pg_database_size(current_database())"
        before = await connection.fetchval(size)
        await connection.execute("SET synchronous_commit = off")  # here only: nothing waits for these
        for statement in _FILL:
            # as text: Postgres would prepare a statement with arguments for any number of them
            await connection.execute(
                statement.replace("$1", str(messages)).replace("$2", str(DAYS)).replace("$3", moment)
            )
        await connection.execute(f"UPDATE postback.feed_head SET seq = seq + {messages * EVENTS_PER_MESSAGE}")
        await connection.execute("VACUUM (ANALYZE, FREEZE)")
        await connection.execute("CHECKPOINT")
        after = await connection.fetchval(size)
    return Past(messages, (after - before) / messages)


async def some_ids(url: str, number: int) -> list[str]:
    """*number* ids of messages, spread evenly over all of them."""
    async with connected(url) as connection:
        rows = await connection.fetch(
            f"""SELECT message_id FROM postback.reference
                WHERE provider_message_id LIKE 'MMSPAST%'
                AND hashtext(provider_message_id) % (SELECT greatest(1, count(*) / {number * 2})::integer
                                                     FROM postback.reference) = 0
                LIMIT {number}"""
        )
    return [str(row["message_id"]) for row in rows]
