"""Reports find their message whichever transaction commits first, and never another channel's."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import asyncpg
import pytest

from models.events import EVERY, Inbound, Report
from models.status import Status, correlation_of, status_of
from receiver.sources import Source
from tests.support.beds import connect
from tests.support.store import (
    CHANNEL,
    THEM,
    US,
    arrival,
    messages,
    postback,
    send,
    settle,
    store,
    timeline,
    told,
)

pytestmark = pytest.mark.stock

TRACKING = "MMSMT7Qx2LmZp"


@asynccontextmanager
async def connections(url: str, number: int) -> AsyncIterator[list[asyncpg.Connection]]:
    opened = [await connect(url) for _ in range(number)]
    yield opened
    for connection in opened:
        await connection.close()


async def test_a_report_that_echoes_our_id_needs_no_tracking_id(database_url: str) -> None:
    async with connections(database_url, 1) as [db]:
        message_id, submission_id = await send(db)

        await store(db, [arrival(postback("N102", None, **{"client-reference": str(submission_id)}))])

        [message] = await messages(db)
        assert message_id == message["id"]
        assert Status.DELIVERED == status_of(message["seen"], message["origin"])
        assert "own_id" == correlation_of(message["seen"])


async def test_a_report_on_a_message_that_nobody_sent_begins_a_timeline(database_url: str) -> None:
    async with connections(database_url, 1) as [db]:
        await store(db, [arrival(postback("N101", TRACKING, **{"client-reference": "ord-7"}))])
        await store(db, [arrival(postback("N102", TRACKING, **{"client-reference": "ord-7"}))])

        [message] = await messages(db)
        assert ("external", "outbound", "ord-7") == (
            message["origin"],
            message["direction"],
            message["client_reference"],
        )
        assert ["N101", "N102"] == await timeline(db, message["id"])


async def test_reports_that_name_only_a_foreign_reference_share_one_message(database_url: str) -> None:
    async with connections(database_url, 1) as [db]:
        await store(db, [arrival(postback("N101", None, **{"client-reference": "ord-7"}))])
        await store(db, [arrival(postback("N102", None, **{"client-reference": "ord-7"}))])

        assert 1 == len(await messages(db))


async def test_our_id_counts_only_at_the_door_of_the_messages_channel(database_url: str) -> None:
    async with connections(database_url, 1) as [db]:
        message_id, submission_id = await send(db)
        forged = postback("E101", "foreign", **{"client-reference": str(submission_id)})

        await store(db, [arrival(forged, channel="another")])

        ours, foreign = await messages(db)
        assert message_id == ours["id"]
        assert Status.ACCEPTED == status_of(ours["seen"], ours["origin"])
        assert ("external", "another") == (foreign["origin"], foreign["channel"])


async def test_our_id_counts_only_for_the_messages_recipient(database_url: str) -> None:
    async with connections(database_url, 1) as [db]:
        message_id, submission_id = await send(db)
        mistaken = postback("N102", "foreign", to="12065559999", **{"client-reference": str(submission_id)})

        await store(db, [arrival(mistaken)])

        assert ["accepted"] == await timeline(db, message_id)
        assert 2 == len(await messages(db))


async def test_an_answer_adopts_the_record_that_an_earlier_report_began(database_url: str) -> None:
    async with connections(database_url, 1) as [db]:
        message_id, submission_id = await send(db)
        await store(db, [arrival(postback("N101", TRACKING))])
        external = (await messages(db))[1]["id"]

        await settle(db, message_id, submission_id, TRACKING)

        [message] = await messages(db)
        assert message_id == message["id"]
        assert Status.SENT == status_of(message["seen"], message["origin"])
        assert ["accepted", "N101", "queued"] == await timeline(db, message_id)
        assert message_id == await db.fetchval(
            "SELECT message_id FROM postback.adopted WHERE id = $1", external
        )
        assert message["version"] == await db.fetchval(
            "SELECT count(DISTINCT version) FROM postback.event WHERE message_id = $1", message_id
        )


async def test_a_report_with_both_ids_adopts_the_record_under_the_tracking_id(database_url: str) -> None:
    async with connections(database_url, 1) as [db]:
        message_id, submission_id = await send(db)
        await store(db, [arrival(postback("E102", TRACKING, timestamp=None))])

        await store(db, [arrival(postback("N202", TRACKING, **{"client-reference": str(submission_id)}))])

        [message] = await messages(db)
        assert message_id == message["id"]
        assert ["accepted", "E102", "N202"] == await timeline(db, message_id)
        attention = await db.fetchrow("SELECT * FROM postback.attention WHERE message_id = $1", message_id)
        assert (True, False, "E102") == (attention["conflict"], attention["failure"], attention["error_code"])


async def test_a_report_that_reached_both_records_counts_once_after_adoption(database_url: str) -> None:
    async with connections(database_url, 1) as [db]:
        message_id, submission_id = await send(db)
        report = postback("N102", TRACKING)
        await store(db, [arrival(report)])
        echoed = {**report, "client-reference": str(submission_id)}

        await store(db, [arrival(echoed)])

        assert ["accepted", "N102"] == await timeline(db, message_id)


@pytest.mark.parametrize("first", ["report", "answer"])
async def test_report_and_answer_meet_whichever_transaction_commits_first(
    database_url: str, first: str
) -> None:
    """Both transactions are open at once: the second waits on the first's reference, then sees it."""
    async with connections(database_url, 2) as [one, two]:
        message_id, submission_id = await send(one)

        async def report(db: asyncpg.Connection) -> None:
            await store(db, [arrival(postback("N101", TRACKING))])

        async def answer(db: asyncpg.Connection) -> None:
            await settle(db, message_id, submission_id, TRACKING)

        leader, follower = (report, answer) if first == "report" else (answer, report)
        transaction = one.transaction()
        await transaction.start()
        await leader(one)
        following = asyncio.create_task(follower(two))
        await _until_blocked(one, two)
        await transaction.commit()
        await following

        [message] = await messages(one)
        assert message_id == message["id"]
        assert Status.SENT == status_of(message["seen"], message["origin"])
        assert {"accepted", "queued", "N101"} == set(await timeline(one, message_id))


async def test_a_report_that_waits_for_an_adoption_follows_its_message(database_url: str) -> None:
    """Its message is found under one id, and is gone when the lock is granted."""
    async with connections(database_url, 2) as [one, two]:
        message_id, submission_id = await send(one)
        await store(one, [arrival(postback("N101", TRACKING))])
        transaction = one.transaction()
        await transaction.start()
        await settle(one, message_id, submission_id, TRACKING)
        late = asyncio.create_task(store(two, [arrival(postback("N102", TRACKING))]))
        await _until_blocked(one, two)
        await transaction.commit()
        await late

        [message] = await messages(one)
        assert Status.DELIVERED == status_of(message["seen"], message["origin"])
        assert ["accepted", "N101", "queued", "N102"] == await timeline(one, message_id)


async def test_a_reference_that_outlived_its_message_begins_a_new_one(database_url: str) -> None:
    async with connections(database_url, 1) as [db]:
        await store(db, [arrival(postback("N101", TRACKING))])
        await db.execute("DELETE FROM postback.message")
        await db.execute("DELETE FROM postback.event")

        await store(db, [arrival(postback("N102", TRACKING))])

        [message] = await messages(db)
        assert ["N102"] == await timeline(db, message["id"])


async def test_an_inbound_id_is_no_id_of_a_send(database_url: str) -> None:
    async with connections(database_url, 1) as [db]:
        inbound = {"origin": "MMS_MO", "code": "N401", "from": "1", "to": "2", "tracking-id": TRACKING}

        await store(db, [arrival(postback("N101", TRACKING)), arrival(inbound)])

        assert ["outbound", "inbound"] == [message["direction"] for message in await messages(db)]


async def test_a_reply_names_the_message_that_it_answers(database_url: str) -> None:
    async with connections(database_url, 1) as [db]:
        message_id, _ = await send(db)
        reply = {"code": "N401", "from": "12065550123", "to": "18885551234", "tracking-id": "mo1"}

        await store(db, [arrival(reply)])

        sent, received = await messages(db)
        assert message_id == received["in_reply_to"]
        assert sent["conversation_id"] == received["conversation_id"]


async def test_an_inbound_message_without_an_id_is_known_by_the_carriers_time(database_url: str) -> None:
    async with connections(database_url, 1) as [db]:
        inbound = {
            "code": "N401",
            "from": "12065550123",
            "to": "18885551234",
            "timestamp": "2026-11-21T09:00:01Z",
        }

        await store(db, [arrival(inbound)])
        await store(db, [arrival(inbound), arrival({**inbound, "timestamp": "2026-11-21T09:00:02Z"})])

        assert 2 == len(await messages(db))


async def test_an_inbound_message_without_id_and_time_is_the_same_for_a_minute(database_url: str) -> None:
    """A second "Yes" an hour later is a second message."""
    async with connections(database_url, 1) as [db]:
        inbound = {"code": "N401", "from": "12065550123", "to": "18885551234", "text": "Yes"}
        await store(db, [arrival(inbound)])
        await store(db, [arrival(inbound)])
        [first] = await messages(db)
        await db.execute("UPDATE postback.message SET updated_at = updated_at - interval '1 hour'")

        await store(db, [arrival(inbound)])

        assert "guessed" == correlation_of(first["seen"])
        assert 2 == len(await messages(db))


#: a carrier that echoes nothing, and whose answers name no message
SILENT = Source(CHANNEL.name, "voicetel", US, guess_within=timedelta(days=3), guess_calling=True)


def receipt(provider_message_id: str | None, status: Status, recipient: str = THEM) -> Report:
    identity = (provider_message_id, status, recipient)
    return Report(provider_message_id, status, status, identity, sender=US, recipient=recipient)


async def test_a_report_without_an_echo_is_matched_by_both_numbers_where_one_message_fits(
    database_url: str,
) -> None:
    async with connections(database_url, 1) as [db]:
        message_id, _ = await send(db)
        await send(db, contact="+12065550199")

        await store(db, [told(SILENT, receipt("carriers-id", Status.SENT))])
        await store(db, [told(SILENT, receipt("carriers-id", Status.DELIVERED))])

        message = next(row for row in await messages(db) if row["id"] == message_id)
        assert ["accepted", "sent", "delivered"] == await timeline(db, message_id)
        assert "guessed" == correlation_of(message["seen"])
        assert 2 == len(await messages(db))


async def test_reports_without_any_id_go_on_matching_their_message(database_url: str) -> None:
    async with connections(database_url, 1) as [db]:
        message_id, _ = await send(db)

        await store(db, [told(SILENT, receipt(None, Status.SENT))])
        await store(db, [told(SILENT, receipt(None, Status.DELIVERED))])

        assert ["accepted", "sent", "delivered"] == await timeline(db, message_id)


async def test_where_two_messages_fit_nothing_is_guessed(database_url: str) -> None:
    async with connections(database_url, 1) as [db]:
        await send(db)
        await send(db)

        await store(db, [told(SILENT, receipt("carriers-id", Status.DELIVERED))])
        await store(db, [told(SILENT, receipt("carriers-id", Status.DELIVERED))])

        assert ["api", "api", "external"] == [message["origin"] for message in await messages(db)]


async def test_a_report_on_a_whole_batch_reaches_each_of_its_messages(database_url: str) -> None:
    source = Source(CHANNEL.name, "sinch_sms", US)
    async with connections(database_url, 1) as [db]:
        for number in ("+12065550101", "+12065550102"):
            report = Report("batch", "Dispatched", Status.SENT, ("batch", number), recipient=number)
            await store(db, [told(source, replace(report, batch_recipient=number))])

        summary = Report("batch", "Delivered", Status.DELIVERED, ("batch", "all"), batch_recipient=EVERY)
        await store(db, [told(source, summary)])

        for message in await messages(db):
            assert ["Dispatched", "Delivered"] == await timeline(db, message["id"])
        assert 2 == len(await messages(db))


async def test_an_inbound_message_that_names_no_number_of_ours_went_to_the_one_that_wrote_last(
    database_url: str,
) -> None:
    source = Source(CHANNEL.name, "cellcast", "+61480000009")
    async with connections(database_url, 1) as [db]:
        await send(db)
        known = Inbound("1", ("1",), sender=THEM, text="Yes")
        stranger = Inbound("2", ("2",), sender="+61400000000", text="Who is this?")

        await store(db, [told(source, known, stranger)])

        _, answer, question = await messages(db)
        assert (US, "+61480000009") == (answer["our_number"], question["our_number"])
        assert None is not answer["in_reply_to"]


async def _until_blocked(watcher: asyncpg.Connection, blocked: asyncpg.Connection) -> None:
    """Until *blocked*'s backend waits for a lock that somebody else holds."""
    pid = blocked.get_server_pid()
    for _ in range(40):
        if await watcher.fetchval("SELECT cardinality(pg_blocking_pids($1))", pid):
            return
        await asyncio.sleep(0.005)
    pytest.fail("the second transaction did not wait for the first")
