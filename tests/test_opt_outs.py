"""People who ask to be left alone are left alone, whatever happens at the same time."""

import asyncio
import itertools
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest

from models.errors import ErrorClass
from models.events import Event, Report
from models.sends import Fate, Outcome
from models.status import Status
from receiver.auth import create_key
from receiver.config import ConfigError, settings
from receiver.optouts import OptOuts, configured
from receiver.outbox import Outbox, Settlement
from receiver.secrets import Secrets
from tests.support import receiver
from tests.support.beds import connect
from tests.support.consent import (
    ANOTHER,
    OURS,
    begin,
    events,
    hear,
    listed,
    queue,
    says,
    until_blocked,
    waiting,
)
from tests.support.installation import installation
from tests.support.records import outgoing
from tests.support.store import SCHEMA, THEM, US, store, told

pytestmark = pytest.mark.stock

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


async def test_stop_puts_the_pair_on_the_list_and_says_so_in_the_feed(db: asyncpg.Connection) -> None:
    await hear(db, says("Stop!", at=NOON))

    assert [(THEM, US, "stop", "keyword")] == await listed(db)
    [entry] = await db.fetch("SELECT * FROM postback.opt_out_entry")
    [message] = await db.fetch("SELECT * FROM postback.message")
    [event] = await events(db, "contact.%")
    assert (True, NOON, "certain", message["id"]) == (
        entry["opts_out"],
        entry["at"],
        entry["certainty"],
        entry["message_id"],
    )
    assert ("contact.opted_out", entry["id"], message["id"], "sinch-us") == (
        event["type"],
        event["id"],
        event["message_id"],
        event["channel"],
    )
    [payload] = await db.fetch("SELECT * FROM postback.payload")
    assert ("applied", [message["id"]], payload["id"]) == (
        payload["state"],
        payload["message_ids"],
        event["payload_id"],
    )


async def test_stop_ends_what_waits_for_that_person_from_that_number_and_nothing_else(
    database_url: str, db: asyncpg.Connection
) -> None:
    queued, claimed = await queue(database_url), await queue(database_url, claimed=True)
    kept = {
        await queue(database_url, to="+12065550199"),
        await queue(database_url, sender=ANOTHER),
    }

    await hear(db, says("STOP"))

    assert kept == set(await waiting(db))
    refused = await events(db, "message.rejected")
    assert {queued, claimed} == {event["message_id"] for event in refused}
    assert {("rejected", "opted_out", "report")} == {
        (event["status"], event["error_class"], event["source"]) for event in refused
    }
    attention = await db.fetch("SELECT message_id, error_class FROM postback.attention")
    assert {(queued, "opted_out"), (claimed, "opted_out")} == {tuple(row) for row in attention}


async def test_a_call_that_has_left_is_not_taken_back(database_url: str, db: asyncpg.Connection) -> None:
    message_id = await queue(database_url, claimed=True)
    assert await begin(db, message_id)

    await hear(db, says("STOP"))

    assert [message_id] == await waiting(db)
    assert [] == await events(db, "message.rejected")


async def test_a_stop_that_commits_first_wins_against_a_call_that_is_about_to_leave(
    database_url: str, db: asyncpg.Connection
) -> None:
    """The sender's mark waits for the row that the STOP has taken, and then finds none."""
    message_id = await queue(database_url, claimed=True)
    sender = await connect(database_url)
    transaction = db.transaction()
    await transaction.start()
    await hear(db, says("STOP"))
    beginning = asyncio.create_task(begin(sender, message_id))
    await until_blocked(db, sender)
    await transaction.commit()

    assert None is await beginning
    assert [message_id] == [event["message_id"] for event in await events(db, "message.rejected")]
    await sender.close()


async def test_a_call_that_is_marked_first_leaves_and_the_stop_counts_from_then_on(
    database_url: str, db: asyncpg.Connection
) -> None:
    message_id = await queue(database_url, claimed=True)
    stopping = await connect(database_url)
    transaction = db.transaction()
    await transaction.start()
    assert await begin(db, message_id)
    stop = asyncio.create_task(hear(stopping, says("STOP")))
    await until_blocked(db, stopping)
    await transaction.commit()
    await stop

    assert [message_id] == await waiting(db)
    assert [(THEM, US, "stop", "keyword")] == await listed(db)
    await stopping.close()


async def test_a_send_that_a_stop_could_not_see_is_refused_before_it_leaves(
    database_url: str, db: asyncpg.Connection
) -> None:
    """Both are open at once and neither waits for the other: the row comes into sight after the STOP has
    looked, and the list is looked at again before the call."""
    message = outgoing(scope=[US, "*"])
    accepting = await connect(database_url)
    transaction = accepting.transaction()
    await transaction.start()
    await accepting.execute(
        "INSERT INTO postback.outbox (id, kind, channel, batch, state, next_at, lease_until, attempts,"
        " contact, scope) VALUES ($1, 'message', 'sinch-us', $1, 'claimed', now(),"
        " now() + interval '1 minute', 0, $2, $3)",
        message.id,
        THEM,
        [US, "*"],
    )
    await accepting.execute(
        "INSERT INTO postback.message (id, direction, origin, channel, provider, kind, our_number, contact,"
        " seen, version, updated_at)"
        " VALUES ($1, 'outbound', 'api', 'sinch-us', 'sinch_mms', 'sms', $2, $3, 512, 0, now())",
        message.id,
        US,
        THEM,
    )
    await hear(db, says("STOP"))
    await transaction.commit()

    assert None is await begin(db, message.id)
    [event] = await events(db, "message.rejected")
    assert (message.id, "opted_out", "sender") == (event["message_id"], event["error_class"], event["source"])
    assert [] == await waiting(db)
    await accepting.close()


async def test_who_is_opted_out_follows_from_when_it_was_said_and_not_from_when_it_was_stored(
    db: asyncpg.Connection,
) -> None:
    said = ["STOP", "START", "please remove me", "Hello"]
    people = []
    for number, order in enumerate(itertools.permutations(range(4))):
        people.append(f"+120655501{number:02}")
        for hour in order:
            await hear(db, says(said[hour], at=NOON + timedelta(hours=hour), sender=people[-1]))

    assert [(person, US, "remove me", "phrase") for person in people] == await listed(db)
    since = await db.fetch("SELECT DISTINCT since FROM postback.opt_out")
    assert [NOON + timedelta(hours=2)] == [row["since"] for row in since]
    assert 3 * len(people) == await db.fetchval("SELECT count(*) FROM postback.opt_out_entry")


async def test_a_stop_that_was_taken_back_before_it_was_stored_stops_nothing(
    database_url: str, db: asyncpg.Connection
) -> None:
    await hear(db, says("START", at=NOON))
    message_id = await queue(database_url)

    await hear(db, says("STOP", at=NOON - timedelta(minutes=1)))

    assert [] == await listed(db)
    assert [message_id] == await waiting(db)
    assert [] == await events(db, "contact.%")


async def test_the_same_stop_again_is_one_entry(db: asyncpg.Connection) -> None:
    stop = says("STOP", name="mo")

    await hear(db, stop, says("STOP", name="mo"))
    await hear(db, says("STOP", name="mo"))

    assert 1 == await db.fetchval("SELECT count(*) FROM postback.opt_out_entry")


async def test_a_second_stop_is_in_the_ledger_and_no_news(db: asyncpg.Connection) -> None:
    await hear(db, says("STOP", at=NOON))
    await hear(db, says("UNSUBSCRIBE", at=NOON + timedelta(hours=1)))

    assert 2 == await db.fetchval("SELECT count(*) FROM postback.opt_out_entry")
    assert 1 == len(await events(db, "contact.%"))
    assert NOON == await db.fetchval("SELECT since FROM postback.opt_out")


async def test_yes_opts_in_only_who_is_opted_out(db: asyncpg.Connection) -> None:
    await hear(db, says("Yes", at=NOON))
    assert 0 == await db.fetchval("SELECT count(*) FROM postback.opt_out_entry")
    await hear(db, says("STOP", at=NOON + timedelta(hours=1)))

    await hear(db, says("Yes!", at=NOON + timedelta(hours=2)))

    assert [] == await listed(db)
    assert ["contact.opted_out", "contact.opted_in"] == [row["type"] for row in await events(db, "contact.%")]


async def test_a_customer_who_talks_stays_and_is_marked_and_so_is_who_asks_for_help(
    db: asyncpg.Connection,
) -> None:
    await hear(db, says("cancel my 3pm"), says("HELP"))

    assert [] == await listed(db)
    marks = await db.fetch("SELECT metadata_ FROM postback.message_body ORDER BY message_id")
    assert ['{"perhaps_opts_out": "cancel"}', '{"asks_for_help": "help"}'] == [row[0] for row in marks]


async def test_a_start_to_one_number_of_a_group_opens_all_of_them(db: asyncpg.Connection) -> None:
    rules = OptOuts(groups=[[US, ANOTHER]])
    await hear(db, says("STOP", at=NOON), rules=rules)

    await hear(db, says("START", at=NOON + timedelta(hours=1), recipient=ANOTHER), rules=rules)

    assert [] == await listed(db)


async def test_a_start_to_another_number_opens_nothing(db: asyncpg.Connection) -> None:
    await hear(db, says("STOP", at=NOON))

    await hear(db, says("START", at=NOON + timedelta(hours=1), recipient=ANOTHER))

    assert [(THEM, US, "stop", "keyword")] == await listed(db)


def test_which_of_our_numbers_an_opt_out_holds_for_is_a_setting() -> None:
    keys = Secrets(["k" * 16])
    grouped = configured(settings({"opt_out_groups": [["+1 888 555 1234", ANOTHER]]}), keys)

    assert [US, ANOTHER, "*"] == grouped.scope(ANOTHER)
    assert ["+18885559999", "*"] == grouped.scope("+18885559999")
    assert None is grouped.scope(None), "the carrier chooses: nobody knows the number"
    assert None is configured(settings({"opt_out_scope": "all"}), keys).scope(US)
    with pytest.raises(ConfigError, match=r"opt_out_groups.*twice"):
        settings({"opt_out_groups": [[US], [US]]})


def refusal(name: str, status: Status = Status.REJECTED) -> Event:
    return Report(
        name,
        "21610",
        status,
        (name, status),
        error=ErrorClass.OPTED_OUT,
        sender=US,
        recipient=THEM,
        kind="sms",
    )


async def test_a_carriers_refusal_to_write_to_somebody_is_believed(
    database_url: str, db: asyncpg.Connection
) -> None:
    message_id = await queue(database_url)

    await store(db, [told(OURS, refusal("a"))])
    await store(db, [told(OURS, refusal("a")), told(OURS, refusal("b"))])

    assert [(THEM, US, None, "carrier")] == await listed(db)
    assert 1 == await db.fetchval("SELECT count(*) FROM postback.opt_out_entry")
    assert [message_id] == [
        row["message_id"]
        for row in await events(db, "message.rejected")
        if row["error_class"] and row["provider_status"] is None
    ]


async def test_an_old_refusal_that_is_told_again_does_not_take_back_a_start(db: asyncpg.Connection) -> None:
    await store(db, [told(OURS, refusal("a"))])
    await hear(db, says("START"))

    await store(db, [told(OURS, refusal("a"))])

    assert [] == await listed(db)


async def test_a_refused_call_puts_its_recipient_on_the_list(
    database_url: str, db: asyncpg.Connection
) -> None:
    called, other = await queue(database_url, claimed=True), await queue(database_url)
    call = await begin(db, called)
    assert call
    outcome = Outcome(Fate.REFUSED, status=Status.REJECTED, error=ErrorClass.OPTED_OUT, provider_code="40300")

    await Outbox("", SCHEMA)._write_settlements(
        db, [Settlement(called, "message", call.submission.id, 1, "sinch-us", "sinch_mms", outcome)]
    )

    assert [(THEM, US, None, "carrier")] == await listed(db)
    assert [] == await waiting(db)
    assert {called, other} == {row["message_id"] for row in await events(db, "message.rejected")}
    assert ["sender"] == [row["source"] for row in await events(db, "contact.%")]


async def test_two_people_who_stop_and_start_at_once_are_told_apart_and_nobody_waits_for_ever(
    database_url: str, db: asyncpg.Connection
) -> None:
    people = [f"+1206555{number:04}" for number in range(10)]
    writers = [await connect(database_url) for _ in range(4)]

    async def write(writer: asyncpg.Connection, turn: int) -> None:
        for person in people[turn:] + people[:turn]:
            text = "STOP" if turn % 2 else "START"
            await hear(writer, says(text, at=NOON + timedelta(minutes=turn), sender=person))

    await asyncio.gather(*(write(writer, turn) for turn, writer in enumerate(writers)))

    assert [(person, US, "stop", "keyword") for person in people] == await listed(db)
    for writer in writers:
        await writer.close()


async def test_a_send_to_somebody_who_stopped_is_refused_at_once_and_no_carrier_is_called(
    database_url: str,
) -> None:
    async with installation(database_url) as here:
        stop = (
            b'{"code":"N401","origin":"MMS_MO","tracking-id":"mo-1","from":"12065550123","to":"18885551234",'
            b'"content":[],"status":"Message Received","message-subject":"STOP"}'
        )
        assert (await here.hook(stop)).is_success
        free = "+12065550124"
        refused = await here.send(THEM)
        sent = await here.send(free)
        await here.until(sent["id"], "delivered")

        assert ("rejected", "failure", "opted_out", "never") == (
            refused["status"],
            refused["outcome"],
            refused["error"]["class"],
            refused["error"]["retry"],
        )
        timeline = (await here.message(refused["id"]))["timeline"]
        assert ["message.accepted", "message.rejected"] == [event["type"] for event in timeline]
        assert 1 == len(await here.journal())


async def test_the_api_opts_out_and_in_and_keeps_the_ledger(database_url: str) -> None:
    async with receiver.running(database_url) as here:
        path = f"{here.url}/v1/opt-outs/%2B18885551234/+12065550123"
        headers = {"Authorization": f"Bearer {here.key}"}
        missing = await here.client.get(path, headers=headers)
        sent = await here.client.post(
            f"{here.url}/v1/messages", json={"to": THEM, "text": "Hello"}, headers=headers
        )
        out = (await here.client.put(path, headers=headers)).json()
        again = (await here.client.put(path, headers=headers)).json()
        page = (await here.client.get(f"{here.url}/v1/opt-outs?contact={THEM}", headers=headers)).json()
        stopped = await here.client.get(
            f"{here.url}/v1/messages/{sent.json()['data'][0]['id']}", headers=headers
        )
        back = (await here.client.delete(path, headers=headers)).json()
        empty = (await here.client.get(f"{here.url}/v1/opt-outs", headers=headers)).json()

        assert 404 == missing.status_code
        assert ("rejected", "opted_out") == (stopped.json()["status"], stopped.json()["error"]["class"])
        assert (True, "api", "certain", None, 1) == (
            out["opted_out"],
            out["source"],
            out["certainty"],
            out["message_id"],
            len(out["ledger"]),
        )
        assert out == again
        assert [(US, THEM, out["since"])] == [
            (row["our_number"], row["contact"], row["since"]) for row in page["data"]
        ]
        assert (False, None) == (back["opted_out"], back["since"])
        assert [(True, "tests"), (False, "tests")] == [
            (entry["opts_out"], entry["said_by"]) for entry in back["ledger"]
        ]
        assert {"data": [], "next_cursor": None} == empty
        feed = await here.rows(
            "SELECT type, id, message_id FROM postback.event WHERE type LIKE 'contact.%' ORDER BY seq"
        )
        assert ["contact.opted_out", "contact.opted_in"] == [row["type"] for row in feed]
        assert [row["id"] for row in feed] == [UUID(entry["id"]) for entry in back["ledger"]]


async def test_opted_out_of_all_of_our_numbers_is_opted_out_of_each(database_url: str) -> None:
    async with receiver.running(database_url) as here:
        headers = {"Authorization": f"Bearer {here.key}"}
        await here.client.put(f"{here.url}/v1/opt-outs/*/{THEM}", headers=headers)
        one = (await here.client.get(f"{here.url}/v1/opt-outs/{US}/{THEM}", headers=headers)).json()
        sent = await here.client.post(
            f"{here.url}/v1/messages", json={"to": THEM, "text": "Hello"}, headers=headers
        )

        assert (True, "*") == (one["opted_out"], one["our_number"])
        assert ["rejected"] == [message["status"] for message in sent.json()["data"]]


async def test_a_key_bound_to_channels_sees_nothing_of_opt_outs(database_url: str) -> None:
    async with receiver.running(database_url) as here:
        path = f"{here.url}/v1/opt-outs/{US}/{THEM}"
        await here.client.put(path, headers={"Authorization": f"Bearer {here.key}"})
        bound = await create_key(
            here.app._engine, here.app._secrets, name="one", scopes=["read", "admin"], channels=["sinch-us"]
        )
        headers = {"Authorization": f"Bearer {bound}"}

        answers = [
            await here.client.request(method, path, headers=headers) for method in ("GET", "PUT", "DELETE")
        ]
        page = await here.client.get(f"{here.url}/v1/opt-outs", headers=headers)

        assert [404, 404, 404] == [answer.status_code for answer in answers]
        assert [] == page.json()["data"]


async def test_what_is_no_number_is_not_opted_out_by_a_slip(database_url: str) -> None:
    async with receiver.running(database_url) as here:
        headers = {"Authorization": f"Bearer {here.key}"}

        answer = await here.client.put(f"{here.url}/v1/opt-outs/{US}/12", headers=headers)

        assert (404, "invalid_number") == (answer.status_code, answer.json()["code"])
