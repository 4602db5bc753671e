# ruff: noqa: S608, E501 - what stands in the braces stands in this file
"""A database with many of everything, written by Postgres itself.

Most is of one busy channel and one busy number; the rest is rare, and old, so that a walk from the newest
would have to pass nearly all before it found any.
"""

from models.status import STATUS_BIT, Status
from tests.support.beds import connect

MESSAGES = 20_000
BUSY, RARE = "sinch-us", "swift-us"
OUR_NUMBER, RARE_NUMBER = "+18885551234", "+18005550000"
#: has few messages, all of them old
CONTACT = "+12060000007"
#: ids grow with time; the *n*th of 20,000, over the last 20 days of last month, the same in every table. They
#: do not end now: on the first day of a month its partition is small, and Postgres is right to read it whole.
_ID = """(lpad(to_hex((extract(epoch FROM date_trunc('month', now())) * 1000
                         - 1728000000.0 * (20001 - n) / 20000)::bigint), 12, '0')
    || '7' || substr(md5({0}), 1, 3) || '8' || substr(md5({0}), 4, 15))::uuid"""
MESSAGE_ID = _ID.format("n::text")
_OTHER_ID = _ID.format("n || 'other' || k")
_CONTACT = "'+1206' || lpad((n % 5000)::text, 7, '0')"
#: of the first thousand, every twentieth
_RARE = "n <= 1000 AND n % 20 = 7"
#: every hundredth was read and is undelivered as well
_SEEN = f"CASE WHEN n % 100 = 7 THEN {STATUS_BIT[Status.READ] | STATUS_BIT[Status.UNDELIVERED]} ELSE 0 END"

_FILL = (
    f"""INSERT INTO postback.message (id, direction, origin, channel, provider, kind, our_number, contact,
            client_reference, conversation_id, seen, version, updated_at)
        SELECT {MESSAGE_ID}, CASE WHEN {_RARE} THEN 'inbound' ELSE 'outbound' END, 'api',
            CASE WHEN {_RARE} THEN '{RARE}' ELSE '{BUSY}' END, 'sinch_mms', 'mms',
            CASE WHEN {_RARE} THEN '{RARE_NUMBER}' ELSE '{OUR_NUMBER}' END, {_CONTACT}, 'campaign-' || n % 7,
            md5('conversation' || n % 5000)::uuid, CASE WHEN {_RARE} THEN 1 ELSE 40 END | {_SEEN}, 2, now()
        FROM generate_series(1, {MESSAGES}) n""",
    f"""INSERT INTO postback.attention (message_id, uncertain, conflict, failure, error_class,
            error_specificity)
        SELECT {MESSAGE_ID}, n % 3 = 0, n % 100 = 7, n % 3 > 0,
            CASE n % 5 WHEN 0 THEN NULL WHEN 1 THEN 'carrier' ELSE 'unknown_subscriber' END, 1
        FROM generate_series(1, {MESSAGES}, 2) n""",
    f"""INSERT INTO postback.reference (provider_message_id, channel, recipient, inbound, message_id)
        SELECT 'MMS' || n, CASE WHEN {_RARE} THEN '{RARE}' ELSE '{BUSY}' END, '', false, {MESSAGE_ID}
        FROM generate_series(1, {MESSAGES}) n""",
    f"""INSERT INTO postback.event (message_id, key, id, seq, version, type, channel, status, bits, effective,
            source, part, attempt, received_at, replay, superseded)
        SELECT {MESSAGE_ID}, md5(n || ' ' || k)::uuid, {_OTHER_ID}, (n - 1) * 2 + k + 1, k,
            'message.' || CASE k WHEN 0 THEN 'queued' ELSE 'delivered' END,
            CASE WHEN {_RARE} THEN '{RARE}' ELSE '{BUSY}' END, 'delivered', 0, true, 'report', 0, 1, now(), 0, false
        FROM generate_series(1, {MESSAGES}) n, generate_series(0, 1) k ORDER BY n, k""",
    f"UPDATE postback.feed_head SET seq = {MESSAGES * 2}",
    f"""INSERT INTO postback.payload (id, channel, state, method, query, headers, body, received_at,
            message_ids)
        SELECT {_OTHER_ID}, CASE WHEN {_RARE} THEN '{RARE}' ELSE '{BUSY}' END,
            CASE WHEN n % 2000 = 7 THEN 'quarantined' WHEN {_RARE} THEN 'duplicate' ELSE 'applied' END,
            'POST', '', '{{}}', convert_to(repeat('x', 200), 'UTF8'), now(), ARRAY[{MESSAGE_ID}]
        FROM generate_series(1, {MESSAGES}) n, generate_series(1, 1) k""",
    f"""INSERT INTO postback.conversation (id, our_number, contact, thread, participants, channels,
            last_message_at, unread_count, message_count, metadata_)
        SELECT md5('conversation' || n)::uuid,
            CASE WHEN {_RARE} THEN '{RARE_NUMBER}' ELSE '{OUR_NUMBER}' END,
            '+1206' || lpad(n::text, 7, '0'), '+1206' || lpad(n::text, 7, '0'), '{{}}',
            ARRAY[CASE WHEN {_RARE} THEN '{RARE}' ELSE '{BUSY}' END],
            now() - interval '1 second' * (20000 - n), CASE WHEN n % 500 = 7 THEN 0 ELSE 1 END, 4, '{{}}'
        FROM generate_series(0, {MESSAGES} - 1) n""",
    f"""INSERT INTO postback.opt_out (contact, our_number, contact_hash, id, since, source, certainty)
        SELECT '+1206' || lpad(n::text, 7, '0'), CASE WHEN {_RARE} THEN '{RARE_NUMBER}' ELSE '{OUR_NUMBER}' END,
            '', {MESSAGE_ID}, now(), 'keyword', 'certain'
        FROM generate_series(1, {MESSAGES}) n""",
    f"""INSERT INTO postback.template (id, origin, channel, provider, content, state, updated_at)
        SELECT {MESSAGE_ID}, 'api', CASE WHEN {_RARE} THEN '{RARE}' ELSE '{BUSY}' END, 'sinch_mms', '{{}}',
            'ready', now()
        FROM generate_series(1, {MESSAGES}) n""",
)


async def fill(database_url: str) -> None:
    connection = await connect(database_url)
    try:
        for statement in _FILL:
            await connection.execute(statement)
        await connection.execute("VACUUM (ANALYZE)")
    finally:
        await connection.close()
