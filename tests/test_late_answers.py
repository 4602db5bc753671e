"""An answer that comes late, or twice, or beside what others have decided: each race at its seam."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from models.sends import Fate, Outcome
from models.status import Status
from receiver import spool
from receiver.db import Connection
from receiver.intervene import Interventions
from receiver.outbox import Outbox, Settlement, read, uncertain, written
from receiver.sql import qualified
from sender.settling import Settling
from tests.support.beds import connect
from tests.support.patience import PATIENCE
from tests.support.store import CHANNEL, SCHEMA, arrival, postback, send, store, timeline

SILENCE = uncertain("nobody knows")
TAKEN = Outcome(Fate.ACCEPTED, ("T1",), status=Status.QUEUED)
REFUSED = Outcome(Fate.REFUSED, status=Status.REJECTED, provider_code="E114")
THROTTLED = Outcome(Fate.THROTTLED, provider_code="E113")


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Connection]:
    connection = await connect(database_url)
    yield connection
    await connection.close()


@pytest.fixture
async def outbox(database_url: str) -> AsyncIterator[Outbox]:
    outbox = Outbox(database_url, SCHEMA)
    await outbox.open()
    yield outbox
    await outbox.close()


async def sent(database: Connection) -> Settlement:
    """A call whose lease is over, and what its carrier will be found to have answered."""
    message_id, submission_id = await send(database)
    await database.execute(
        "UPDATE postback.outbox SET lease_until = now() - interval '1 s', attempts = 1 WHERE id = $1",
        message_id,
    )
    return Settlement(message_id, "message", submission_id, 1, CHANNEL.name, "sinch_mms", TAKEN)


async def given_up(database: Connection, outbox: Outbox) -> Settlement:
    """The same, after another sender has given the call up."""
    call = await sent(database)
    assert [call.id] == await outbox.lapse([replace(call, outcome=SILENCE)])
    return call


async def waits(database: Connection, message_id: UUID) -> str | None:
    """The state of its row in the outbox."""
    state: str | None = await database.fetchval("SELECT state FROM postback.outbox WHERE id = $1", message_id)
    return state


async def test_an_id_that_comes_late_is_kept(database: Connection, outbox: Outbox) -> None:
    call = await given_up(database, outbox)

    await outbox.settle(call)

    assert ["accepted", "uncertain", "queued"] == await timeline(database, call.id)
    assert call.id == await database.fetchval(
        "SELECT message_id FROM postback.reference WHERE provider_message_id = 'T1'"
    )
    assert await waits(database, call.id) is None


async def test_a_refusal_that_comes_late_counts(database: Connection, outbox: Outbox) -> None:
    call = await given_up(database, outbox)

    await outbox.settle(replace(call, outcome=REFUSED))

    assert ["accepted", "uncertain", "rejected"] == [
        row["status"] for row in await database.fetch("SELECT status FROM postback.event ORDER BY seq")
    ]


async def test_what_was_throttled_is_sent_again_however_late_that_is_known(
    database: Connection, outbox: Outbox
) -> None:
    call = await given_up(database, outbox)
    assert "uncertain" == await waits(database, call.id)

    await outbox.settle(replace(call, outcome=THROTTLED, again_in=0.0))
    [claim] = await outbox.claim(CHANNEL.name, 10, None)
    again = await outbox.begin(claim)

    assert again is not None
    assert 2 == again.attempt


async def test_what_was_throttled_twice_over_is_queued_once(database: Connection, outbox: Outbox) -> None:
    """As after a connection that was lost, with nobody knowing how far the first try had come."""
    call = replace(await sent(database), outcome=THROTTLED, again_in=0.0)
    await outbox.settle(call)
    [claim] = await outbox.claim(CHANNEL.name, 10, None)

    await outbox.settle(call)

    assert "claimed" == await waits(database, call.id)
    assert await outbox.begin(claim) is not None


async def test_an_answer_that_is_settled_first_is_not_given_up(database: Connection, outbox: Outbox) -> None:
    """Another sender has seen the call without an end a moment before."""
    call = await sent(database)
    [row] = await outbox.expire_leases()
    await outbox.settle(replace(call, outcome=THROTTLED, again_in=60.0))

    assert [] == await outbox.lapse([replace(call, id=row["id"], outcome=SILENCE)])

    assert ["accepted"] == await timeline(database, call.id)
    assert "queued" == await waits(database, call.id)


async def test_what_a_person_has_decided_is_not_sent_again(
    database: Connection, database_url: str, outbox: Outbox
) -> None:
    before, after = await given_up(database, outbox), await given_up(database, outbox)
    people = Interventions(database_url, SCHEMA)

    await people.decide(before.id, Status.FAILED, channel=CHANNEL.name, provider="sinch_mms")
    for call in (before, after):
        await outbox.settle(replace(call, outcome=THROTTLED, again_in=0.0))
    assert [None, "queued"] == [await waits(database, call.id) for call in (before, after)]
    await people.decide(after.id, Status.FAILED, channel=CHANNEL.name, provider="sinch_mms")

    assert [] == await outbox.claim(CHANNEL.name, 10, None)


async def test_nobody_decides_a_message_of_which_a_call_is_under_way(
    database: Connection, database_url: str, outbox: Outbox
) -> None:
    call = await given_up(database, outbox)
    await outbox.settle(replace(call, outcome=THROTTLED, again_in=0.0))
    [claim] = await outbox.claim(CHANNEL.name, 10, None)
    await outbox.begin(claim)

    with pytest.raises(Exception, match="not uncertain"):
        await Interventions(database_url, SCHEMA).decide(
            call.id, Status.FAILED, channel=CHANNEL.name, provider="sinch_mms"
        )


async def test_what_a_report_has_told_of_is_not_sent_again(database: Connection, outbox: Outbox) -> None:
    calls = [await given_up(database, outbox), await sent(database)]
    for number, call in enumerate(calls):
        told = postback("N101", f"R{number}", **{"client-reference": str(call.submission_id)})
        await store(database, [arrival(told)])

        await outbox.settle(replace(call, outcome=THROTTLED, again_in=0.0))

    assert [None, None] == [await waits(database, call.id) for call in calls]


async def test_a_call_that_a_report_has_told_of_is_not_called_uncertain(
    database: Connection, outbox: Outbox
) -> None:
    call = await sent(database)
    await store(database, [arrival(postback("N101", "R", **{"client-reference": str(call.submission_id)}))])

    await outbox.lapse([replace(call, outcome=SILENCE)])

    assert ["accepted", "N101"] == await timeline(database, call.id)


async def test_who_opted_out_meanwhile_is_not_written_to(database: Connection, outbox: Outbox) -> None:
    call = await given_up(database, outbox)
    await database.execute(
        """INSERT INTO postback.opt_out (id, our_number, contact, contact_hash, since, source, certainty)
           SELECT $1, our_number, contact, '', now(), 'api', 'certain' FROM postback.message WHERE id = $2""",
        uuid7(), call.id,
    )  # fmt: skip
    await outbox.settle(replace(call, outcome=THROTTLED, again_in=0.0))
    [claim] = await outbox.claim(CHANNEL.name, 10, None)

    assert await outbox.begin(claim) is None

    assert await waits(database, call.id) is None
    assert "rejected" == (await timeline(database, call.id))[-1]


async def test_a_message_that_was_redacted_meanwhile_is_not_sent_again(
    database: Connection, database_url: str, outbox: Outbox
) -> None:
    call = await given_up(database, outbox)

    await Interventions(database_url, SCHEMA).redact(call.id, "+12065550123")
    await outbox.settle(replace(call, outcome=THROTTLED, again_in=0.0))

    assert await waits(database, call.id) is None


async def test_a_mark_made_twice_is_one_call(database: Connection, outbox: Outbox) -> None:
    await send(database)
    await database.execute("UPDATE postback.outbox SET state = 'queued', attempts = 0")
    [claim] = await outbox.claim(CHANNEL.name, 10, None)

    first, second = await outbox.begin(claim), await outbox.begin(claim)

    assert first is not None
    assert first == second
    assert 1 == await database.fetchval("SELECT attempts FROM postback.outbox")


async def test_a_mark_that_was_held_up_takes_no_row_that_was_claimed_anew(
    database: Connection, outbox: Outbox
) -> None:
    """As the statement of a connection that a frozen server reads after all when it goes on."""
    await send(database)
    await database.execute("UPDATE postback.outbox SET state = 'queued'")
    [late] = await outbox.claim(CHANNEL.name, 10, None)
    await database.execute("UPDATE postback.outbox SET state = 'queued'")
    [anew] = await outbox.claim(CHANNEL.name, 10, None)

    assert await outbox.begin(late) is None
    assert await outbox.begin(anew) is not None


async def test_rows_that_no_answer_can_queue_any_more_leave(database: Connection, outbox: Outbox) -> None:
    call = await given_up(database, outbox)
    await database.execute("UPDATE postback.outbox SET lease_until = now() - interval '5 days'")

    assert [] == await outbox.expire_leases()

    assert await waits(database, call.id) is None


async def test_what_was_given_up_is_no_sign_of_a_living_sender(database: Connection, outbox: Outbox) -> None:
    """Sends of a channel that nobody sends for any more end by their time."""
    await given_up(database, outbox)
    waiting, _ = await send(database)
    await database.execute("UPDATE postback.outbox SET state = 'queued' WHERE id = $1", waiting)

    ended = await database.fetchval(
        qualified("SELECT channels FROM postback.end_unsent('{}', $1, $2, 10)", SCHEMA),
        UUID(int=(1 << 128) - 1),
        UUID(int=0),
    )

    assert [CHANNEL.name] == ended


@pytest.mark.parametrize("outcome", [TAKEN, REFUSED, THROTTLED, SILENCE, replace(TAKEN, names_batch=True)])
def test_a_settlement_comes_back_from_disk_as_it_was(outcome: Outcome) -> None:
    call = Settlement(
        uuid7(), "message", uuid7(), 2, "c", "sinch_sms", outcome, 1.5, "+12065550123", 60.0,
        datetime(2026, 11, 30, 9, 0, 0, 123456, tzinfo=UTC),
    )  # fmt: skip

    assert call == read(written(call))


def test_what_is_no_settlement_is_refused() -> None:
    record = written(Settlement(uuid7(), "message", uuid7(), 1, "c", "p", TAKEN))

    with pytest.raises(ValueError, match="settlement"):
        read(record._replace(payload=record.payload._replace(body=b"{}")))


async def test_an_erased_number_leaves_the_answers_on_disk(tmp_path: Path) -> None:
    kept = spool.created(spool.answers(tmp_path))
    await kept.open()
    for recipient in ("+12065550123", "+12065550124"):
        await kept.put(
            written(Settlement(uuid7(), "message", uuid7(), 1, "c", "sinch_sms", TAKEN, recipient=recipient))
        )

    assert 1 == spool.erase(tmp_path, ["12065550123"])

    [left] = await kept.first(10)
    await kept.close()
    assert "+12065550124" == read(left.record).recipient


async def test_words_that_postgres_refuses_cost_no_message_its_answer(
    database: Connection, outbox: Outbox
) -> None:
    call = await sent(database)
    words = replace(REFUSED, provider_message="a NUL \0 in the middle")

    async with asyncio.timeout(PATIENCE):
        await Settling(outbox, None).settle(replace(call, outcome=words))

    [event] = await database.fetch("SELECT * FROM postback.event WHERE status = 'rejected'")
    assert event["provider_message"].startswith("the carrier's words cannot be stored")


async def test_what_was_throttled_longer_ago_than_a_message_is_tried_ends_when_it_is_found(
    outbox: Outbox,
) -> None:
    old = UUID(int=(int((datetime.now(UTC) - timedelta(days=4)).timestamp() * 1000) << 80) | 7 << 76)

    ended = Settlement(old, "message", uuid7(), 1, "c", "p", THROTTLED, again_in=1.0).timely()

    assert (Fate.REFUSED, Status.EXPIRED, None) == (ended.outcome.fate, ended.outcome.status, ended.again_in)


async def test_an_answer_waits_for_a_lock_and_keeps_no_other_one_waiting(
    database: Connection, outbox: Outbox
) -> None:
    held, free = await sent(database), await sent(database)
    free = replace(free, outcome=replace(TAKEN, provider_message_ids=("T2",)))
    settled = Settling(outbox, None)
    async with asyncio.timeout(60):
        async with database.transaction():
            await database.execute("SELECT FROM postback.message WHERE id = $1 FOR UPDATE", held.id)
            waiting = asyncio.create_task(settled.settle(held))
            await asyncio.sleep(0.5)
            await settled.settle(free)
            assert {held.submission_id} == set(settled.in_hand)
        await waiting

    assert ["accepted", "queued"] == await timeline(database, held.id)
