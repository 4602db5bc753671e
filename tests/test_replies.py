"""Whether somebody can be answered is known beforehand, and exactly."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from models.events import Inbound
from receiver.providers import PROVIDERS
from receiver.sources import Source
from tests.support.app import running_app
from tests.support.forwarding import forwarding
from tests.support.installation import THEM, US, channel_keys
from tests.support.receiver import Receiver, running
from tests.support.store import told

ROUTE = "/v1/conversations"
#: whoever may write to us: people in three countries, short codes, names, what is no number at all
WRITERS = [THEM, "+61412345678", "+447700900123", "24273", "123", "MTN", "Your Bank", "2065550123", "?"]
#: numbers of ours that no channel lists are written to as well
OURS = [US, "24000", "447700900123"]
CHANNELS = {name: channel_keys(name, "http://127.0.0.1:1") for name in sorted(PROVIDERS)}


@pytest.fixture
async def receiver(database_url: str) -> AsyncIterator[Receiver]:
    async with served(database_url, CHANNELS) as here:
        yield here


def served(database_url: str, channels: dict[str, Any]) -> Any:
    return running(database_url, channels)


async def hears(receiver: Receiver, channel: str, sender: str, to: str | None = US, **fields: Any) -> None:
    name = f"{channel} {sender} {to}"
    said = Inbound(name, (name,), sender=sender, recipient=to, text="Hello", **fields)
    source = Source(channel, channel, US)
    assert "applied" == await receiver.app._ingest.put(told(source, said))


async def asked(receiver: Receiver, method: str, path: str, **request: Any) -> Any:
    headers = {"authorization": f"Bearer {receiver.key}"}
    return await receiver.client.request(method, receiver.url + path, headers=headers, **request)


async def conversations(receiver: Receiver) -> list[dict[str, Any]]:
    page = await asked(receiver, "GET", ROUTE, params={"limit": 200})
    assert page.json()["next_cursor"] is None
    return list(page.json()["data"])


async def replied(receiver: Receiver, conversation: dict[str, Any]) -> Any:
    return await asked(receiver, "POST", f"{ROUTE}/{conversation['id']}/messages", json={"text": "Hello"})


async def test_what_a_conversation_says_is_what_a_reply_is_told(database_url: str) -> None:
    """On a channel of each provider, whoever wrote to whichever number."""
    for name, keys in CHANNELS.items():
        async with served(database_url, {name: keys}) as receiver:
            await receiver.empty()
            for writer in WRITERS:
                for ours in OURS:
                    await hears(receiver, name, writer, ours)
            found = await conversations(receiver)
            assert len(WRITERS) * len(OURS) == len(found)
            for one in found:
                [message] = (await asked(receiver, "GET", f"{ROUTE}/{one['id']}/messages")).json()["data"]
                answer = await replied(receiver, one)
                reason = None if answer.status_code == 202 else answer.json()["detail"]
                about = (name, one["contact"], one["our_number"])
                assert answer.status_code in (202, 422), about
                assert (*about, {"ok": reason is None, "reason": reason}) == (*about, one["can_reply"])
                assert one["can_reply"] == message["can_reply"]
            assert {True, False} == {one["can_reply"]["ok"] for one in found}


async def test_a_name_and_a_short_code_are_told_from_people(receiver: Receiver) -> None:
    for writer in ("MTN", "24273", THEM):
        await hears(receiver, "sinch_mms", writer)

    reasons = {one["contact"]: one["can_reply"]["reason"] for one in await conversations(receiver)}

    assert {
        "MTN": "MTN is a name; nobody can write to a name.",
        "24273": "24273 is a short code: Sinch MMS sends to a phone number with its country code.",
        THEM: None,
    } == reasons


async def test_who_has_opted_out_cannot_be_answered_and_a_message_leaves_that_open(
    receiver: Receiver,
) -> None:
    await hears(receiver, "sinch_mms", THEM)
    await asked(receiver, "PUT", f"/v1/opt-outs/*/{THEM}")
    [conversation] = await conversations(receiver)
    [message] = (await asked(receiver, "GET", "/v1/messages")).json()["data"]
    answer = await replied(receiver, conversation)

    assert {"ok": False, "reason": "The contact has opted out."} == conversation["can_reply"]
    assert {"ok": True, "reason": None} == message["can_reply"]
    assert (202, "rejected", None) == (
        answer.status_code,
        answer.json()["data"][0]["status"],
        answer.json()["data"][0]["can_reply"],
    )


async def test_a_channel_that_is_gone_leaves_its_conversations_to_one_that_lists_the_number(
    database_url: str,
) -> None:
    both = {"sinch_sms": CHANNELS["sinch_sms"], "swift": CHANNELS["swift"]}
    async with served(database_url, both) as receiver:
        await hears(receiver, "sinch_sms", THEM)
        await hears(receiver, "sinch_sms", THEM, "+18005550100")
        [foreign, own] = await conversations(receiver)
        once = {"Idempotency-Key": "once"}
        path = f"{ROUTE}/{foreign['id']}/messages"
        headers = {"authorization": f"Bearer {receiver.key}", **once}
        accepted = await receiver.client.post(receiver.url + path, json={"text": "Hi"}, headers=headers)
    async with served(database_url, {"swift": CHANNELS["swift"]}) as receiver:
        [foreign, own] = await conversations(receiver)
        taken, refused = await replied(receiver, own), await replied(receiver, foreign)
        headers["authorization"] = f"Bearer {receiver.key}"
        again = await receiver.client.post(receiver.url + path, json={"text": "Hi"}, headers=headers)

    gone = "No channel is configured any more for +18005550100."
    assert ({"ok": True, "reason": None}, 202, "swift") == (
        own["can_reply"], taken.status_code, taken.json()["data"][0]["channel"],
    )  # fmt: skip
    assert ({"ok": False, "reason": gone}, 422, gone, "unknown_channel") == (
        foreign["can_reply"], refused.status_code, refused.json()["detail"], refused.json()["code"],
    )  # fmt: skip
    assert (202, 202, accepted.json()["data"][0]["id"]) == (
        accepted.status_code, again.status_code, again.json()["data"][0]["id"],
    )  # fmt: skip


async def test_a_conversation_goes_on_where_somebody_last_wrote(receiver: Receiver) -> None:
    """An Australian carrier takes Australian numbers only."""
    await hears(receiver, "cellcast", THEM)
    [before] = await conversations(receiver)
    await hears(receiver, "sinch_sms", THEM)
    [after] = await conversations(receiver)
    await asked(
        receiver, "POST", "/v1/messages", json={"to": THEM, "from": US, "channel": "swift", "text": "Hi"}
    )
    [answered] = await conversations(receiver)

    assert [False, True, True] == [one["can_reply"]["ok"] for one in (before, after, answered)]
    assert (await replied(receiver, answered)).json()["data"][0]["channel"] == "sinch_sms"


async def test_a_group_is_answered_as_its_first_writer(receiver: Receiver) -> None:
    await hears(receiver, "sinch_mms", THEM, participants=("+12065550199",))
    [group] = await conversations(receiver)
    answer = await replied(receiver, group)

    assert ({"ok": True, "reason": None}, 202) == (group["can_reply"], answer.status_code)


async def test_what_is_posted_about_a_message_says_whether_it_can_be_answered(
    database_url: str, tmp_path: Path
) -> None:
    async with forwarding(database_url, tmp_path) as installed, running_app() as app:
        await installed.subscribe(app, types=["message.received"])
        installed.forward()
        for sender in ("MTN", THEM):
            said = {
                "code": "N401", "origin": "MMS_MO", "tracking-id": sender, "from": sender.strip("+"),
                "to": US.strip("+"), "content": [], "status": "Message Received", "message-subject": "Hi",
            }  # fmt: skip
            hook = await installed.api.post("/hooks/sinch-us/a-long-random-string", json=said)
            assert hook.is_success, hook.text
        posts = await app.first(2)

    messages = [post.content["data"]["message"] for post in posts]
    answerable = {message["from"]: message["can_reply"]["ok"] for message in messages}
    assert {"MTN": False, THEM: True} == answerable
