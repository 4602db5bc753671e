"""What a connection planned while the tables were small still suits them when they are full."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from models.errors import ErrorClass
from models.events import Inbound, Report
from models.sends import Fate, Outcome
from models.status import Status
from receiver.confirmations import Confirmation
from receiver.ingest import Ingest
from receiver.optouts import OptOuts
from receiver.outbox import Claim, Outbox, Settlement
from receiver.providers.sinch_mms import SinchMms
from receiver.sources import Source
from sender.silence import _unconfirmed
from tests.support.beds import connect
from tests.support.functions import called
from tests.support.records import accept, outgoing
from tests.support.store import CHANNEL, SCHEMA, US, arrival, postback, send, settle, store, told

#: rows of other people's, in every table that grows, on the same channel and from the same number
_OTHERS = """
WITH people AS (
    SELECT n, '+1312' || lpad(n::text, 7, '0') AS contact,
        (lpad(to_hex((extract(epoch FROM now()) * 1000)::bigint - 100000 + n), 12, '0')
         || '70008000' || lpad(to_hex(n), 12, '0'))::uuid AS id
    FROM generate_series($1::integer, $2::integer) n
), message AS (
    INSERT INTO postback.message (id, direction, origin, channel, provider, kind, our_number, contact,
        conversation_id, seen, version, updated_at)
    SELECT id, 'outbound', 'api', 'sinch-us', 'sinch_mms', 'mms', $3, contact, id, 4096, 1, now() FROM people
), inbound AS (
    INSERT INTO postback.reference (provider_message_id, channel, recipient, inbound, message_id)
    SELECT 'other-' || n, 'sinch-us', '', false, id FROM people
), event AS (
    INSERT INTO postback.event (message_id, key, id, seq, version, type, channel, status, bits, effective,
        source, part, attempt, received_at, replay, superseded, payload_id)
    SELECT id, id, id, -n, 1, 'message.sent', 'sinch-us', 'sent', 4096, true, 'report', 0, 0, now(), 0,
        false, id
    FROM people
), payload AS (
    INSERT INTO postback.payload (id, channel, state, method, query, headers, body, received_at, message_ids,
        retold)
    SELECT id, 'sinch-us', 'applied', 'POST', '', '{}', '', now(), ARRAY[id], true FROM people
), conversation AS (
    INSERT INTO postback.conversation (id, our_number, contact, thread, participants, channels,
        last_message_id, last_message_at, unread_count, message_count, metadata_)
    SELECT id, $3, contact, contact, '{}', '{sinch-us}', id, now(), 1, 1, '{}' FROM people
), submission AS (
    INSERT INTO postback.submission (id, recipient, message_id, channel, attempt)
    SELECT id, '', id, 'sinch-us', 1 FROM people
), outbox AS (
    INSERT INTO postback.outbox (id, kind, channel, batch, state, next_at, attempts, contact, scope)
    SELECT id, 'message', 'sinch-us', id, 'queued', now() + interval '1 hour', 0, contact, ARRAY[$3, '*']
    FROM people
), awaited AS (
    INSERT INTO postback.awaited_report (message_id, due) SELECT id, now() + interval '1 hour' FROM people
), attention AS (
    INSERT INTO postback.attention (message_id, uncertain, conflict, failure, error_specificity)
    SELECT id, false, false, true, -1 FROM people
), adopted AS (
    INSERT INTO postback.adopted (id, message_id) SELECT id, id FROM people
), entry AS (
    INSERT INTO postback.opt_out_entry (id, contact, contact_hash, our_number, opts_out, at, source,
        certainty)
    SELECT id, contact, '', $3, true, now(), 'api', 'certain' FROM people
)
INSERT INTO postback.opt_out (contact, our_number, contact_hash, id, since, source, certainty)
SELECT contact, $3, '', id, now(), 'api', 'certain' FROM people
"""
OURS = Source(CHANNEL.name, "sinch_mms", US)
SILENT = Source(CHANNEL.name, "voicetel", US, guess_within=timedelta(days=3), guess_calling=True)
CONFIRMING = OptOuts(
    confirmations={
        CHANNEL.name: Confirmation(
            CHANNEL.model_copy(update={"numbers": [US], "opt_out_reply": "Goodbye."}), SinchMms()
        )
    }
)
NAMELESS = Source(CHANNEL.name, "cellcast", US)


async def stops(db: asyncpg.Connection, url: str, turn: int) -> None:
    await _hear(db, "STOP", turn)


async def starts(db: asyncpg.Connection, url: str, turn: int) -> None:
    await _hear(db, "STOP", turn)
    await _hear(db, "START", turn)


async def stops_and_is_told_so(db: asyncpg.Connection, url: str, turn: int) -> None:
    await _hear(db, "STOP", turn, rules=CONFIRMING)
    [(confirmation,)] = await db.fetch(
        called("SELECT id FROM postback.claim('sinch-us', 1, 1, NULL, '1 minute')")
    )
    [call] = await Outbox("", SCHEMA)._write_begins(db, [Claim((confirmation,), 0.0)])
    assert call


async def stops_and_starts_before_being_told_so(db: asyncpg.Connection, url: str, turn: int) -> None:
    await _hear(db, "STOP", turn, rules=CONFIRMING)
    await _hear(db, "START", turn)


async def _hear(db: asyncpg.Connection, text: str, turn: int, *, rules: OptOuts = OptOuts()) -> None:  # noqa: B008
    ingest = Ingest("", SCHEMA, opt_outs=rules)
    inbound = Inbound(f"{text}-{turn}", (text, str(turn)), sender=_person(turn), recipient=US, text=text)
    await ingest._write(db, [ingest._prepare(told(OURS, inbound))])


async def writes_to_us_without_naming_our_number(db: asyncpg.Connection, url: str, turn: int) -> None:
    await store(db, [told(NAMELESS, Inbound(f"mo-{turn}", (str(turn),), sender=_person(turn), text="Hi"))])


async def writes_without_an_id_or_a_time(db: asyncpg.Connection, url: str, turn: int) -> None:
    inbound = Inbound(None, (str(turn),), sender=_person(turn), recipient=US, text="Hi")
    await store(db, [told(OURS, inbound)])
    await store(db, [told(OURS, inbound)])


async def replies(db: asyncpg.Connection, url: str, turn: int) -> None:
    await _sent(db, turn)
    inbound = Inbound(f"mo-{turn}", (str(turn),), sender=_person(turn), recipient=US, text="Hi")
    await store(db, [told(OURS, inbound)])


async def is_reported_on_without_an_echo(db: asyncpg.Connection, url: str, turn: int) -> None:
    await _sent(db, turn)
    report = Report(f"r-{turn}", "sent", Status.SENT, (str(turn),), sender=US, recipient=_person(turn))
    assert ["applied"] == await store(db, [told(SILENT, report)])


async def is_adopted(db: asyncpg.Connection, url: str, turn: int) -> None:
    message_id, submission_id = await _sent(db, turn)
    await store(db, [arrival(postback("E102", f"early-{turn}", to=_person(turn)))])
    await settle(db, message_id, submission_id, f"early-{turn}")


async def is_refused_as_opted_out(db: asyncpg.Connection, url: str, turn: int) -> None:
    message_id, submission_id = await _sent(db, turn)
    outcome = Outcome(Fate.REFUSED, status=Status.REJECTED, error=ErrorClass.OPTED_OUT)
    settlement = Settlement(message_id, "message", submission_id, 1, CHANNEL.name, "sinch_mms", outcome)
    await Outbox("", SCHEMA)._write_settlements(db, [settlement])


async def is_written_to_after_a_stop(db: asyncpg.Connection, url: str, turn: int) -> None:
    await _hear(db, "STOP", turn)
    await accept(url, outgoing(_person(turn), scope=[US, "*"]))


async def is_silent(db: asyncpg.Connection, url: str, turn: int) -> None:
    message_id, _ = await _sent(db, turn)
    await db.execute(
        "INSERT INTO postback.awaited_report VALUES ($1, now() - interval '1 minute')", message_id
    )
    overdue = await db.fetch(called("SELECT * FROM postback.overdue(100, '1 minute')"))
    assert [message_id] == [row["message_id"] for row in overdue]
    await db.fetch(called("SELECT postback.give_up($1)"), [_unconfirmed(row) for row in overdue])


async def is_opted_out_by_an_app(db: asyncpg.Connection, url: str, turn: int) -> None:
    said = OptOuts().decided(US, _person(turn), datetime.now(UTC), opts_out=True, by="tests")
    assert await _alone(url, called("SELECT postback.opt($1)"), said)


async def is_redacted(db: asyncpg.Connection, url: str, turn: int) -> None:
    await store(db, [arrival(postback("N101", f"gone-{turn}", to=_person(turn)))])
    [message_id] = await _alone(url, called("SELECT postback.messages_of($1, 1)"), _person(turn))
    assert [] == await _alone(url, called("SELECT postback.redact($1, $2)"), message_id, "+1206555XXXX")


async def is_looked_for_in_old_conversations(db: asyncpg.Connection, url: str, turn: int) -> None:
    everybody = UUID(int=0), UUID(int=2**128 - 1)
    await _alone(url, called("SELECT postback.forget_conversations($1, $2, 5)"), *everybody)


async def _alone(url: str, statement: str, *values: Any) -> Any:
    """On a connection of its own, as people's decisions and the janitor have."""
    connection = await connect(url)
    try:
        return await connection.fetchval(statement, *values)
    finally:
        await connection.close()


async def _sent(db: asyncpg.Connection, turn: int) -> tuple[UUID, UUID]:
    await db.execute("SET enable_seqscan = off")  # for the statements of `send` itself
    ids = await send(db, contact=_person(turn))
    await db.execute("RESET enable_seqscan")
    return ids


def _person(turn: int) -> str:
    return f"+1206555{turn:04}"


@pytest.mark.parametrize(
    "somebody",
    [
        stops,
        starts,
        stops_and_is_told_so,
        stops_and_starts_before_being_told_so,
        writes_to_us_without_naming_our_number,
        writes_without_an_id_or_a_time,
        replies,
        is_reported_on_without_an_echo,
        is_adopted,
        is_refused_as_opted_out,
        is_written_to_after_a_stop,
        is_silent,
        is_opted_out_by_an_app,
        is_redacted,
        is_looked_for_in_old_conversations,
    ],
    ids=lambda function: function.__name__,
)
async def test_no_more_rows_are_read_for_somebody_who(
    database_url: str, somebody: Callable[[asyncpg.Connection, str, int], Awaitable[None]]
) -> None:
    connection = await connect(database_url)
    await connection.execute("VACUUM ANALYZE")
    for turn in range(6):
        before = await _rows_read(connection)
        await somebody(connection, database_url, turn)
        few = _more(before, await _rows_read(connection))
    await connection.execute(_OTHERS.replace("$1", "1").replace("$2", "2000").replace("$3", f"'{US}'"))
    before = await _rows_read(connection)
    await somebody(connection, database_url, 6)
    many = _more(before, await _rows_read(connection))
    await connection.close()

    grown = {name: (few.get(name, 0), read) for name, read in many.items() if read > few.get(name, 0) + 100}
    assert {} == grown


async def _rows_read(connection: asyncpg.Connection) -> dict[str, int]:
    await connection.execute("SELECT pg_stat_force_next_flush()")
    rows = await connection.fetch(
        """SELECT relname AS name, seq_tup_read AS read FROM pg_stat_user_tables
           UNION ALL SELECT indexrelname, idx_tup_read FROM pg_stat_user_indexes"""
    )
    return {row["name"]: row["read"] for row in rows}


def _more(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    return {name: read - before.get(name, 0) for name, read in after.items()}
