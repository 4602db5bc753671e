"""Sends whose number the carrier chooses: what it tells of them is kept, and replies thread."""

from typing import Any

import orjson
import pytest

from models.events import Report
from models.status import Status
from tests.support.beds import connect
from tests.support.carrier import running_receiver
from tests.support.installation import THEM, US, Installation, installation
from tests.support.records import accept, outgoing, settle, tell

pytestmark = pytest.mark.usefixtures("unhurried")

CHOSEN = "+12003004000"
OURS: dict[str, Any] = {"from": [US]}
CHOOSE: dict[str, Any] = {"from": None}
#: https://swift-sms-2-0-docs.pages.dev/api/messaging/mms, but for the recipient
ANSWER = {
    "results": [
        {
            "direction": "OUTBOUND",
            "error_code": "OK",
            "expires_at": "2034-06-14T00:00:00.000000Z",
            "from": CHOSEN[1:],
            "id": "01JDQ11TSMA0SXCS4ZMEP5FVTP",
            "origin_id": "my-mms-message-2",
            "schedule_at": "2024-06-14T00:00:00.000000Z",
            "status": "NEW",
            "timestamp": "2024-06-14T00:00:00.000000Z",
            "to": THEM[1:],
            "type": "MMS",
        }
    ]
}


async def reply(home: Installation, to: str) -> dict[str, Any]:
    """Returns what somebody wrote to the number *to* of ours."""
    body = {"type": "sms", "id": "reply-1", "from": THEM[1:], "to": to[1:], "body": "Yes"}
    answer = await home.hook(orjson.dumps(body))
    assert answer.is_success, answer.text
    [found] = await home.listed(1, direction="inbound")
    return found


@pytest.mark.parametrize(
    "keys", [{"from": []}, OURS], ids=["a channel without numbers", "a channel with numbers"]
)
async def test_the_number_that_the_carrier_chose_is_the_messages_and_replies_thread(
    database_url: str, keys: dict[str, Any]
) -> None:
    async with installation(database_url, "swift", **keys) as home:
        message = await home.send(**CHOOSE)
        shown = await home.until(message["id"], "delivered")
        [entry] = await home.journal()
        answered = await reply(home, shown["from"])
        conversation = (await home.api.get(f"/v1/conversations/{shown['conversation_id']}")).json()

    assert (None, None) == (message["from"], message["conversation_id"])
    assert "from" not in entry["body"]
    assert shown["from"] not in (None, US)
    assert shown["conversation_id"] == answered["conversation_id"] is not None
    assert message["id"] == answered["in_reply_to"]
    assert (shown["from"], 2) == (conversation["our_number"], conversation["message_count"])


async def test_a_send_without_a_number_goes_out_from_the_channels_first(database_url: str) -> None:
    async with installation(database_url, "swift", **OURS) as home:
        message = await home.send()
        await home.until(message["id"], "delivered")
        [entry] = await home.journal()

    assert US == message["from"]
    assert US[1:] == entry["body"]["from"]


async def test_a_carrier_that_needs_a_number_refuses_to_choose_one(database_url: str) -> None:
    async with installation(database_url, sender=False, **OURS) as home:
        answer = await home.api.post("/v1/messages", json={"to": THEM, "text": "Hello", "from": None})

    assert (422, "/from") == (answer.status_code, answer.json()["errors"][0]["pointer"])


async def answering(database_url: str, answer: bytes, **keys: Any) -> tuple[dict[str, Any], list[Any]]:
    """Returns a message that went out to a carrier which says *answer* to it, and what it had read."""
    async with running_receiver() as carrier:
        carrier.answer = answer
        async with installation(database_url, "swift", sms_url=carrier.url, **keys) as home:
            message = await home.send(**CHOOSE)
            return await home.until(message["id"], "queued"), carrier.bodies


async def test_what_the_answer_tells_of_a_send_is_kept(database_url: str) -> None:
    shown, _ = await answering(database_url, orjson.dumps(ANSWER))

    queued = next(event for event in shown["timeline"] if event["status"] == "queued")
    assert (CHOSEN, "2024-06-14T00:00:00.000Z", "2034-06-14T00:00:00.000Z") == (
        shown["from"],
        shown["send_at"],
        shown["expires_at"],
    )
    assert "2024-06-14T00:00:00.000Z" == queued["occurred_at"]


async def test_a_report_tells_the_number_where_the_answer_did_not(database_url: str) -> None:
    bare = {"results": [{"error_code": "OK", "id": "01JDQ11TSMA0SXCS4ZMEP5FVTP", "to": THEM[1:]}]}
    report = {
        "type": "sms_dlr",
        "id": "r1",
        "delivery_status": "delivered",
        "from": CHOSEN[1:],
        "to": THEM[1:],
        "sms": {"id": "01JDQ11TSMA0SXCS4ZMEP5FVTP"},
    }
    async with running_receiver() as carrier:
        carrier.answer = orjson.dumps(bare)
        async with installation(database_url, "swift", sms_url=carrier.url) as home:
            message = await home.until((await home.send(**CHOOSE))["id"], "queued")
            await home.hook(orjson.dumps(report))
            shown = await home.until(message["id"], "delivered")
            answered = await reply(home, CHOSEN)

    assert None is message["from"]
    assert CHOSEN == shown["from"]
    assert shown["conversation_id"] == answered["conversation_id"] is not None


@pytest.mark.parametrize(("foreign", "taken"), [(frozenset({CHOSEN}), None), (frozenset({US}), CHOSEN)])
async def test_a_number_of_other_channels_is_not_taken_over(
    database_url: str, foreign: frozenset[str], taken: str | None
) -> None:
    [message_id] = await accept(database_url, outgoing(our_number=None))
    await settle(database_url, message_id, Status.QUEUED, provider_message_id="c1")
    told = Report("c1", "sent", Status.SENT, ("c1", "sent"), sender=CHOSEN, recipient=THEM)

    await tell(database_url, told, others=foreign)

    connection = await connect(database_url)
    try:
        number = await connection.fetchval(
            "SELECT our_number FROM postback.message WHERE id = $1", message_id
        )
    finally:
        await connection.close()
    assert taken == number


async def test_a_number_that_a_message_went_out_from_stays(database_url: str) -> None:
    async with running_receiver() as carrier:
        carrier.answer = orjson.dumps(ANSWER)
        async with installation(database_url, "swift", sms_url=carrier.url, **OURS) as home:
            shown = await home.until((await home.send())["id"], "queued")

    assert US == shown["from"]
