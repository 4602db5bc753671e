"""Who opts out is told so once, where the channel has words for it, and is written to by nothing else."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import orjson
import pytest

from models.errors import ErrorClass
from models.events import Inbound, Report
from models.status import Status
from receiver.app import App
from receiver.config import ConfigError, settings
from receiver.confirmations import WITHIN
from receiver.ingest import Arrival
from receiver.optouts import OptOuts, configured
from receiver.rows import new_id
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
from tests.support.functions import called
from tests.support.installation import Installation, installation
from tests.support.patience import PATIENCE
from tests.support.receiver import Receiver
from tests.support.store import THEM, US, store, told

GOODBYE = "You will get no more messages from us. Write START to undo this."
CHANNEL = {
    "provider": "sinch_mms",
    "tokens": ["a-token-of-tests"],
    "from": [US, ANOTHER],
    "opt_out_reply": GOODBYE,
}


def rules(**more: Any) -> OptOuts:
    return configured(settings({"channels": {"sinch-us": CHANNEL}, **more}), Secrets(["k" * 16]))


CONFIRMING = rules()


async def confirmations(db: asyncpg.Connection) -> list[asyncpg.Record]:
    rows: list[asyncpg.Record] = await db.fetch(
        """SELECT m.*, b.text, b.metadata_, b.expires_at, b.expires_at - interval '5 minutes' AS heard_at
           FROM postback.message m JOIN postback.message_body b ON b.message_id = m.id
           WHERE b.metadata_ ? 'confirms_opt_out' ORDER BY m.id"""
    )
    return rows


async def claimed(db: asyncpg.Connection) -> list[Any]:
    """What a sender takes out of the outbox, in its order, one row at a time."""
    taken: list[Any] = []
    while rows := await db.fetch(called("SELECT * FROM postback.claim('sinch-us', 1, 1, NULL, '1 minute')")):
        taken.extend(row["id"] for row in rows)
    return taken


def writes(text: str, tracking_id: str) -> bytes:
    """What the carrier says of a message of `THEM` to `US`."""
    return orjson.dumps(
        {
            "code": "N401", "origin": "MMS_MO", "tracking-id": tracking_id, "from": THEM.strip("+"),
            "to": US.strip("+"), "content": [], "status": "Message Received", "message-subject": text,
        }
    )  # fmt: skip


async def drained(here: Receiver, number: int) -> None:
    """Once the spool has given up so many requests. Raises ``TimeoutError``."""
    async with asyncio.timeout(PATIENCE):
        while True:
            if len(await here.payloads()) == number:
                return
            await asyncio.sleep(0.02)


async def outbound(here: Installation, number: int) -> list[dict[str, Any]]:
    return await here.listed(number, direction="outbound", contact=THEM)


async def test_a_stop_is_confirmed_once_from_the_number_that_was_written_to(database_url: str) -> None:
    """The callback comes three times, and the person says it once more."""
    async with installation(database_url, opt_out_reply=GOODBYE) as here:
        for _ in range(3):
            assert (await here.hook(writes("STOP", "mo-1"))).is_success
        assert (await here.hook(writes("Stop!!", "mo-2"))).is_success
        [found] = await outbound(here, 1)
        confirmation = await here.until(found["id"], "delivered")
        refused = await here.send(THEM, metadata={"confirms_opt_out": "stop"})
        kept = await here.send("+12065550124")
        await here.until(kept["id"], "delivered")

        [heard, _] = sorted(await here.listed(2, direction="inbound"), key=lambda m: str(m["id"]))
        page = await here.api.get(f"/v1/conversations/{heard['conversation_id']}/messages")
        conversation = (await here.api.get(f"/v1/conversations/{heard['conversation_id']}")).json()
        sent = await here.journal()

    assert (GOODBYE, US, THEM, "sinch-us", "mms", {"confirms_opt_out": "stop"}) == tuple(
        confirmation[key] for key in ("text", "from", "to", "channel", "kind", "metadata")
    )
    assert (heard["id"], heard["conversation_id"]) == (
        confirmation["in_reply_to"],
        confirmation["conversation_id"],
    )
    assert ("message.accepted", "report") == tuple(
        confirmation["timeline"][0][key] for key in ("type", "source")
    )
    assert ("rejected", "opted_out") == (refused["status"], refused["error"]["class"])
    assert [refused["id"], confirmation["id"]] == [
        m["id"] for m in page.json()["data"] if m["direction"] == "outbound"
    ]
    assert (4, True) == (conversation["message_count"], conversation["opted_out"])
    assert 2 == len(sent), "the confirmation, and the message to somebody else"


@pytest.mark.parametrize(
    ("provider", "ours", "theirs", "files"),
    [
        ("sinch_sms", US, THEM, []),
        ("swift", US, THEM, ["http://127.0.0.1:9/pixel.png"]),  # a STOP by MMS, answered by SMS
        ("voicetel", US, THEM, []),
        ("cellcast", "+61491570006", "+61491570156", []),
        ("cellcast_v1", "+61491570006", "+61491570156", []),
    ],
)
async def test_every_carrier_takes_a_confirmation(
    database_url: str, provider: str, ours: str, theirs: str, files: list[str]
) -> None:
    own: dict[str, Any] = {"from": [ours], "opt_out_reply": GOODBYE}
    async with installation(database_url, provider, **own) as here:
        stop = {"from": theirs, "to": ours, "text": "STOP", "files": files, "repeat": 2}
        answer = await here.carrier.post("/practice/inbound", json=stop)
        assert answer.is_success, answer.text
        [found] = await here.listed(1, direction="outbound")
        confirmation = await here.until(found["id"], "delivered", "sent", "unconfirmed")

        assert (GOODBYE, "sms", ours, theirs) == tuple(
            confirmation[key] for key in ("text", "kind", "from", "to")
        )
        assert 1 == len(await here.journal())


async def test_nobody_is_told_anything_unless_the_channel_says_so(database_url: str) -> None:
    async with installation(database_url) as here:
        assert (await here.hook(writes("STOP", "mo-1"))).is_success
        other = await here.send("+12065550124")
        await here.until(other["id"], "delivered")

        assert [] == await outbound(here, 0)
        assert 1 == len(await here.journal())


async def test_a_stop_that_waited_in_the_spool_is_confirmed_once(database_url: str, tmp_path: Path) -> None:
    async with receiver.running(
        database_url, {"sinch-us": CHANNEL}, spool=True, data_dir=str(tmp_path)
    ) as here:
        for _ in range(2):
            here.app._ingest.away = True
            answer = await here.client.post(here.hook("sinch-us"), content=writes("STOP", "mo-1"))
            assert answer.is_success
        await drained(here, 2)

        assert ["applied", "duplicate"] == await here.states()
        assert 1 == len(await here.rows("SELECT FROM postback.outbox"))


async def test_what_was_said_long_ago_is_not_confirmed(db: asyncpg.Connection) -> None:
    """However it comes late: from a spool, or from a request that was not understood until now."""
    long_ago = datetime.now(UTC) - WITHIN - timedelta(seconds=1)

    await hear(db, says("STOP", at=long_ago), rules=CONFIRMING)

    assert [(THEM, US, "stop", "keyword")] == await listed(db)
    assert [] == await confirmations(db)


async def test_a_confirmation_that_waits_too_long_expires(db: asyncpg.Connection) -> None:
    before = datetime.now(UTC)
    await hear(db, says("please remove me", at=before), rules=CONFIRMING)

    [message_id] = await claimed(db)
    call = await begin(db, message_id)

    assert call
    assert before + WITHIN == call.submission.expires_at


async def test_the_same_request_again_confirms_nothing_more(db: asyncpg.Connection) -> None:
    stop = says("STOP", name="mo")
    again = Arrival(says("STOP", name="mo").payload, stop.source, stop.events, late=True)

    await hear(db, stop, says("STOP", name="mo"), rules=CONFIRMING)
    await hear(db, stop, rules=CONFIRMING)
    await hear(db, again, rules=CONFIRMING)

    assert 1 == len(await confirmations(db))
    assert 1 == len(await waiting(db))


async def test_two_stops_at_once_are_confirmed_once(database_url: str, db: asyncpg.Connection) -> None:
    other = await connect(database_url)
    transaction = db.transaction()
    await transaction.start()
    await hear(db, says("STOP"), rules=CONFIRMING)
    second = asyncio.create_task(hear(other, says("QUIT"), rules=CONFIRMING))
    await until_blocked(db, other)
    await transaction.commit()
    await second
    await other.close()

    assert 1 == len(await confirmations(db))
    assert 2 == await db.fetchval("SELECT count(*) FROM postback.opt_out_entry")
    assert 1 == len(await waiting(db)), "the second STOP leaves the confirmation of the first"


async def test_a_stop_ends_a_send_that_is_about_to_leave_and_its_confirmation_leaves(
    database_url: str, db: asyncpg.Connection
) -> None:
    message_id = await queue(database_url, claimed=True)
    sender = await connect(database_url)
    transaction = db.transaction()
    await transaction.start()
    await hear(db, says("STOP"), rules=CONFIRMING)
    beginning = asyncio.create_task(begin(sender, message_id))
    await until_blocked(db, sender)
    await transaction.commit()

    assert None is await beginning
    [confirmation] = await claimed(sender)
    call = await begin(sender, confirmation)
    assert call
    assert (GOODBYE, US, THEM) == (call.submission.text, call.submission.sender, call.submission.recipient)
    assert [message_id] == [event["message_id"] for event in await events(db, "message.rejected")]
    await sender.close()


async def test_a_confirmation_waits_behind_no_campaign(database_url: str, db: asyncpg.Connection) -> None:
    campaign = [await queue(database_url, to=f"+1206555020{turn}") for turn in range(3)]

    await hear(db, says("STOP"), rules=CONFIRMING)

    [confirmation] = await confirmations(db)
    assert [confirmation["id"], *campaign] == await claimed(db)


@pytest.mark.parametrize("word", ["START", "Yes"])
async def test_who_wants_to_be_written_to_again_is_not_told_that_nobody_will(
    db: asyncpg.Connection, word: str
) -> None:
    await hear(db, says("STOP"), rules=CONFIRMING)
    [confirmation] = await confirmations(db)
    await hear(db, says(word), rules=CONFIRMING)

    assert [] == await waiting(db)
    [event] = await events(db, "message.canceled")
    assert (confirmation["id"], "report") == (event["message_id"], event["source"])


async def test_a_stop_and_a_start_of_one_batch_leave_nothing_to_send(db: asyncpg.Connection) -> None:
    now = datetime.now(UTC)
    await hear(db, says("START", at=now), says("STOP", at=now - timedelta(seconds=1)), rules=CONFIRMING)

    assert [] == await listed(db)
    assert [] == await waiting(db)


async def test_a_start_that_is_older_than_the_stop_leaves_its_confirmation(db: asyncpg.Connection) -> None:
    now = datetime.now(UTC)
    await hear(db, says("STOP", at=now), rules=CONFIRMING)
    await hear(db, says("START", at=now - timedelta(seconds=1)), rules=CONFIRMING)

    [confirmation] = await confirmations(db)
    assert [confirmation["id"]] == await waiting(db)


async def test_who_comes_back_and_leaves_again_is_told_again(db: asyncpg.Connection) -> None:
    now = datetime.now(UTC)
    for turn, word in enumerate(["STOP", "START", "STOP"]):
        await hear(db, says(word, at=now + timedelta(seconds=turn)), rules=CONFIRMING)

    first, second = await confirmations(db)
    assert [second["id"]] == await waiting(db)
    assert first["id"] in {event["message_id"] for event in await events(db, "message.canceled")}


def refusal() -> Arrival:
    """The carrier's word that the person opted out there."""
    report = Report(
        "r",
        "21610",
        Status.REJECTED,
        ("r",),
        error=ErrorClass.OPTED_OUT,
        sender=US,
        recipient=THEM,
        kind="sms",
    )
    return told(OURS, report)


async def test_a_carriers_refusal_is_not_confirmed_and_ends_a_confirmation(db: asyncpg.Connection) -> None:
    await hear(db, says("STOP"), rules=CONFIRMING)
    [confirmation] = await confirmations(db)
    await store(db, [refusal()])

    assert [] == await waiting(db)
    assert {"opted_out"} == {
        event["error_class"]
        for event in await events(db, "message.rejected")
        if event["message_id"] == confirmation["id"]
    }

    await hear(db, says("START"), rules=CONFIRMING)
    await hear(db, told(OURS, *refusal().events), rules=CONFIRMING)
    assert 1 == len(await confirmations(db))


async def test_a_confirmation_that_an_opt_out_of_another_kind_could_not_see_does_not_leave(
    database_url: str, db: asyncpg.Connection
) -> None:
    """The list is looked at again before the call: an app has shut all our numbers meanwhile."""
    deciding = await connect(database_url)
    transaction = deciding.transaction()
    await transaction.start()
    decided = CONFIRMING.decided("*", "+12065550188", datetime.now(UTC), opts_out=True, by="tests")
    await deciding.fetch(called("SELECT postback.enter($1)"), decided._replace(contact=THEM))
    await hear(db, says("STOP"), rules=CONFIRMING)
    await transaction.commit()
    await deciding.close()

    [message_id] = await claimed(db)
    assert None is await begin(db, message_id)
    assert [] == await waiting(db)
    [event] = await events(db, "message.rejected")
    assert (message_id, "opted_out", "sender") == (event["message_id"], event["error_class"], event["source"])


async def test_an_opt_out_through_the_api_is_not_confirmed(database_url: str) -> None:
    async with receiver.running(database_url, {"sinch-us": CHANNEL}) as here:
        answer = await here.client.put(
            f"{here.url}/v1/opt-outs/{US}/{THEM}", headers={"Authorization": f"Bearer {here.key}"}
        )
        assert answer.is_success
        stop = await here.client.post(here.hook("sinch-us"), content=writes("STOP", "mo-1"))
        assert stop.is_success

        assert [] == await here.rows("SELECT FROM postback.outbox"), "nor is a STOP to a number that is shut"


async def test_numbers_that_count_as_one_confirm_once(db: asyncpg.Connection) -> None:
    grouped = rules(opt_out_groups=[[US, ANOTHER]])

    await hear(db, says("STOP"), rules=grouped)
    await hear(db, says("STOP", recipient=ANOTHER), rules=grouped)
    assert [US] == [row["our_number"] for row in await confirmations(db)]

    await hear(db, says("STOP", sender="+12065550177"), rules=rules(opt_out_scope="all"))
    await hear(db, says("STOP", sender="+12065550177", recipient=ANOTHER), rules=rules(opt_out_scope="all"))
    assert [THEM, "+12065550177"] == [row["contact"] for row in await confirmations(db)]


@pytest.mark.parametrize(
    ("text", "recipient", "sender"),
    [
        ("STOP", "+18885550009", THEM),  # no number of the channel's
        ("STOP", US, "28444"),  # Sinch MMS sends to no short code
        ("cancel my 3pm", US, THEM),
        ("HELP", US, THEM),
        ("START", US, THEM),
        ("Yes", US, THEM),
    ],
)
async def test_nothing_is_confirmed_where(
    db: asyncpg.Connection, text: str, recipient: str, sender: str
) -> None:
    await hear(db, says(text, sender=sender, recipient=recipient), rules=CONFIRMING)

    assert [] == await confirmations(db)
    assert [] == await waiting(db)


async def test_a_member_of_a_group_is_told_in_the_groups_conversation(db: asyncpg.Connection) -> None:
    inbound = Inbound(
        "mo-g", ("mo-g",), sender=THEM, recipient=US, text="STOP", participants=(THEM, "+12065550188")
    )
    await hear(db, told(OURS, inbound), rules=CONFIRMING)

    [confirmation] = await confirmations(db)
    [conversation] = await db.fetch("SELECT * FROM postback.conversation")
    assert (conversation["id"], THEM) == (confirmation["conversation_id"], confirmation["contact"])
    assert (2, confirmation["id"], None) == (
        conversation["message_count"],
        conversation["last_message_id"],
        conversation["waiting_since"],
    )


async def test_a_confirmation_can_be_cancelled_like_any_send(database_url: str) -> None:
    async with installation(database_url, sender=False, opt_out_reply=GOODBYE) as here:
        assert (await here.hook(writes("STOP", "mo-1"))).is_success
        [found] = await outbound(here, 1)
        answer = await here.api.post(f"/v1/messages/{found['id']}/cancel")

        assert (200, "canceled") == (answer.status_code, answer.json()["status"])


@pytest.mark.parametrize(
    ("channel", "why"),
    [
        ({"from": []}, r"channels\.one: opt_out_reply .*from"),
        ({"provider": "voicetel", "opt_out_reply": "x" * 161}, r"channels\.one: opt_out_reply .*/text"),
    ],
)
def test_words_that_could_not_be_sent_are_refused_at_start(channel: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        App(settings({"secret_key": "k" * 16, "channels": {"one": {**CHANNEL, **channel}}}))


async def test_the_status_of_a_confirmation_follows_from_its_events(db: asyncpg.Connection) -> None:
    await hear(db, says("STOP"), rules=CONFIRMING)
    [confirmation] = await confirmations(db)

    await db.execute("UPDATE postback.message SET seen = 0 WHERE id = $1", confirmation["id"])
    await db.fetch(called("SELECT postback.recompute($1, 10, $2)"), UUID(int=0), new_id())

    assert [confirmation["seen"]] == [row["seen"] for row in await confirmations(db)]
