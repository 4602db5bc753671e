"""Conversations: what passed between one of our numbers and a person, or a group, on any channel."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from uuid_utils.compat import uuid7

from models.events import Event, Inbound, MediaPart
from receiver.auth import create_key
from receiver.ingest import Arrival
from receiver.sources import Source
from tests.support.installation import CHANNEL, THEM, US, installation
from tests.support.receiver import Receiver, running
from tests.support.store import told

pytestmark = pytest.mark.stock

ROUTE = "/v1/conversations"
OTHER = "+12065550199"
KEYED: dict[str, Any] = {"tokens": ["a-token-of-tests"], "api_key": "k"}
TEXTS = {"tokens": ["a-token-of-tests"], "api_token": "k", "service_plan_id": "p"}
CHANNELS: dict[str, dict[str, Any]] = {
    "sinch-us": {"provider": "sinch_mms", **KEYED, "from": [US]},
    "texts": {"provider": "sinch_sms", **TEXTS, "from": [US]},
    "elsewhere": {"provider": "swift", **KEYED, "from": ["+18005550100"]},
}


@pytest.fixture
async def receiver(database_url: str) -> AsyncIterator[Receiver]:
    async with running(database_url, CHANNELS) as served:
        served.client.base_url = served.url
        served.client.headers["authorization"] = f"Bearer {served.key}"
        yield served


def inbound(name: str, text: str = "Hello", *, sender: str = THEM, to: str = US, **fields: Any) -> Inbound:
    return Inbound(name, (name,), sender=sender, recipient=to, text=text, **fields)


async def hears(receiver: Receiver, *events: Event, channel: str = "sinch-us") -> None:
    told_by = told(Source(channel, "sinch_mms", US), *events)
    assert "applied" == await receiver.app._ingest.put(told_by)


async def get(receiver: Receiver, path: str = ROUTE, **query: str) -> Any:
    answer = await receiver.client.get(path, params=query)
    assert 200 == answer.status_code, answer.text
    return answer.json()


async def only(receiver: Receiver) -> dict[str, Any]:
    """The one conversation there is."""
    [conversation] = (await get(receiver))["data"]
    assert conversation == await get(receiver, f"{ROUTE}/{conversation['id']}")
    return dict(conversation)


async def send(receiver: Receiver, to: str = THEM, **fields: Any) -> dict[str, Any]:
    answer = await receiver.client.post(
        "/v1/messages", json={"to": to, "text": "Hi", "channel": "texts", **fields}
    )
    assert 202 == answer.status_code, answer.text
    return dict(answer.json()["data"][0])


async def test_a_conversation_begins_with_the_first_message_and_counts_what_is_unread(
    receiver: Receiver,
) -> None:
    await hears(receiver, inbound("in-1", "When are you open?"))
    await hears(receiver, inbound("in-2", "Hello?"), inbound("in-3", "Anybody there?"))

    conversation = await only(receiver)

    last = conversation["last_message"]
    assert (US, THEM, [], ["sinch-us"]) == tuple(
        conversation[key] for key in ("our_number", "contact", "participants", "channels")
    )
    assert (3, 3, False, {}) == tuple(
        conversation[key] for key in ("unread_count", "message_count", "opted_out", "metadata")
    )
    assert ("inbound", "Anybody there?", "received") == (last["direction"], last["preview"], last["status"])
    assert conversation["waiting_since"] < conversation["last_inbound_at"] == last["at"]


async def test_the_same_message_twice_counts_once(receiver: Receiver) -> None:
    await hears(receiver, inbound("in-1"), inbound("in-1"))
    twice = told(Source("sinch-us", "sinch_mms", US), inbound("in-1"))
    assert "duplicate" == await receiver.app._ingest.put(twice)

    conversation = await only(receiver)

    assert (1, 1) == (conversation["unread_count"], conversation["message_count"])


async def test_an_answer_ends_the_wait_and_leaves_the_unread_unread(receiver: Receiver) -> None:
    await hears(receiver, inbound("in-1"))
    sent = await send(receiver)
    answered = await only(receiver)
    await hears(receiver, inbound("in-2", "Thanks"))
    asked = await only(receiver)

    assert (None, 1, 2) == tuple(answered[key] for key in ("waiting_since", "unread_count", "message_count"))
    assert (sent["id"], "outbound", "Hi", "accepted") == tuple(
        answered["last_message"][key] for key in ("id", "direction", "preview", "status")
    )
    assert asked["waiting_since"] == asked["last_inbound_at"]


async def test_only_reading_makes_a_conversation_read(receiver: Receiver) -> None:
    await hears(receiver, inbound("in-1"))
    conversation = await only(receiver)
    unread = await get(receiver, unread="true")
    answer = await receiver.client.post(f"{ROUTE}/{conversation['id']}/read")
    await hears(receiver, inbound("in-2"))

    assert [conversation] == unread["data"]
    assert (200, 0) == (answer.status_code, answer.json()["unread_count"])
    assert 1 == (await only(receiver))["unread_count"]


async def test_what_came_after_the_message_that_was_read_stays_unread(receiver: Receiver) -> None:
    """Each message in turn, and back again: nothing that was read becomes unread."""
    for place in range(3):
        await hears(receiver, inbound(f"in-{place}", f"{place}"))
        await send(receiver)
    conversation = await only(receiver)
    newest_first = (await get(receiver, f"{ROUTE}/{conversation['id']}/messages"))["data"]

    counts = [await read(receiver, conversation, message["id"]) for message in reversed(newest_first)]
    back = await read(receiver, conversation, newest_first[-1]["id"])
    await hears(receiver, inbound("in-9"))

    assert [2, 2, 1, 1, 0, 0] == counts
    assert 0 == back
    assert 1 == await read(receiver, conversation, newest_first[0]["id"])
    assert (await only(receiver))["waiting_since"] is not None
    assert 0 == await read(receiver, conversation, None)


async def test_a_conversation_is_read_up_to_a_message_of_its_own(receiver: Receiver) -> None:
    await hears(receiver, inbound("in-1"))
    conversation = await only(receiver)
    await hears(receiver, inbound("in-2", sender=OTHER))
    [elsewhere] = (await get(receiver, "/v1/messages", contact=OTHER))["data"]
    for named in (elsewhere["id"], str(uuid7()), conversation["id"], "nonsense"):
        answer = await receiver.client.post(f"{ROUTE}/{conversation['id']}/read", json={"up_to": named})
        assert (422, "/up_to") == (answer.status_code, answer.json()["errors"][0]["pointer"])

    assert conversation == await get(receiver, f"{ROUTE}/{conversation['id']}")
    unknown = await receiver.client.post(f"{ROUTE}/{uuid7()}/read", json={"up_to": elsewhere["id"]})
    assert 404 == unknown.status_code


async def test_what_arrives_while_somebody_reads_is_counted_once(receiver: Receiver) -> None:
    """In every round one message arrives while the one before it is marked as read."""
    await hears(receiver, inbound("in-0"))
    conversation = await only(receiver)
    path = f"{ROUTE}/{conversation['id']}/messages"
    for place in range(1, 20):
        [last] = (await get(receiver, path, limit="1"))["data"]
        await asyncio.gather(
            read(receiver, conversation, last["id"]), hears(receiver, inbound(f"in-{place}"))
        )
        assert 1 == (await only(receiver))["unread_count"]


async def read(receiver: Receiver, conversation: dict[str, Any], up_to: str | None) -> int:
    """How many are unread after it."""
    body = {"up_to": up_to} if up_to else None
    answer = await receiver.client.post(f"{ROUTE}/{conversation['id']}/read", json=body)
    assert 200 == answer.status_code, answer.text
    return int(answer.json()["unread_count"])


async def test_channels_and_kinds_share_a_conversation(receiver: Receiver) -> None:
    await hears(receiver, inbound("in-1"))
    sent = await send(receiver)
    picture = inbound("in-2", "Look", kind="mms", media=(MediaPart("https://example.com/p.png"),))
    await hears(receiver, picture, channel="texts")

    conversation = await only(receiver)
    messages = (await get(receiver, f"{ROUTE}/{conversation['id']}/messages"))["data"]

    assert ["sinch-us", "texts"] == conversation["channels"]
    assert ["Look", "Hi", "Hello"] == [message["text"] for message in messages]
    assert [sent["id"], None, None] == [message["in_reply_to"] for message in messages]
    assert {conversation["id"]} == {message["conversation_id"] for message in messages}


async def test_numbers_that_no_channel_lists_have_conversations_too(receiver: Receiver) -> None:
    await hears(receiver, inbound("in-1", to="+18005559999"))
    await hears(receiver, inbound("in-2", to="447700900123"))

    numbers = {conversation["our_number"] for conversation in (await get(receiver))["data"]}

    assert {"+18005559999", "447700900123"} == numbers


async def test_a_group_is_one_conversation_whoever_of_it_writes(receiver: Receiver) -> None:
    third = "+12065550177"
    await hears(receiver, inbound("in-1", "Hi all", participants=(OTHER, third)))
    await hears(receiver, inbound("in-2", "Hi", sender=OTHER, participants=(third, THEM)))
    await hears(receiver, inbound("in-3", "Only you"))
    group, pair = sorted(
        (await get(receiver))["data"], key=lambda one: str(one["message_count"]), reverse=True
    )

    assert (2, sorted([THEM, OTHER, third]), THEM) == (
        group["message_count"],
        group["participants"],
        group["contact"],
    )
    assert (1, [], THEM) == (pair["message_count"], pair["participants"], pair["contact"])


async def test_lists_are_filtered_and_paged_with_the_newest_messages_first(receiver: Receiver) -> None:
    contacts = [f"+1206555{place:04}" for place in range(7)]
    for place, contact in enumerate(contacts):
        await hears(receiver, inbound(f"in-{place}", sender=contact))
    middle = datetime.now(UTC).isoformat()
    await hears(receiver, inbound("again", sender=contacts[0]))

    seen: list[str] = []
    page = await get(receiver, limit="3")
    while True:
        seen.extend(conversation["contact"] for conversation in page["data"])
        if page["next_cursor"] is None:
            break
        page = await get(receiver, limit="3", cursor=page["next_cursor"])

    assert [contacts[0], *reversed(contacts[1:])] == seen
    assert [contacts[3]] == [one["contact"] for one in (await get(receiver, contact=contacts[3]))["data"]]
    assert [] == (await get(receiver, our_number=OTHER))["data"]
    assert 7 == len((await get(receiver, our_number=US))["data"])
    assert [contacts[0]] == [one["contact"] for one in (await get(receiver, updated_after=middle))["data"]]
    assert [] == (await get(receiver, unread="false"))["data"]


async def test_a_list_in_pages_repeats_nobody_who_writes_meanwhile(receiver: Receiver) -> None:
    for place in range(4):
        await hears(receiver, inbound(f"in-{place}", sender=f"+1206555000{place}"))
    first = await get(receiver, limit="2")
    await hears(receiver, inbound("again", sender="+12065550003"))
    second = await get(receiver, limit="2", cursor=first["next_cursor"])

    assert ["+12065550003", "+12065550002"] == [one["contact"] for one in first["data"]]
    assert ["+12065550001", "+12065550000"] == [one["contact"] for one in second["data"]]


async def test_writers_at_the_same_moment_lose_no_count(receiver: Receiver) -> None:
    await asyncio.gather(
        *(hears(receiver, inbound(f"in-{place}")) for place in range(40)),
        *(send(receiver) for _ in range(20)),
    )

    conversation = await only(receiver)

    assert (40, 60) == (conversation["unread_count"], conversation["message_count"])


async def test_a_key_of_some_channels_sees_a_conversation_only_if_it_has_all_that_list_its_number(
    receiver: Receiver,
) -> None:
    await hears(receiver, inbound("in-1"))
    await hears(receiver, inbound("in-2", to="+18005550100"), channel="elsewhere")
    shared = next(one for one in (await get(receiver))["data"] if one["our_number"] == US)
    paths = [f"{ROUTE}/{shared['id']}", f"{ROUTE}/{shared['id']}/messages"]

    for channels, visible in (
        (["elsewhere"], ["+18005550100"]),
        (["sinch-us"], []),
        (["sinch-us", "texts"], [US]),
    ):
        receiver.client.headers["authorization"] = f"Bearer {await key(receiver, channels)}"
        assert visible == [one["our_number"] for one in (await get(receiver))["data"]]
        expected = 200 if US in visible else 404
        assert [expected] * 2 == [(await receiver.client.get(path)).status_code for path in paths]
        read = await receiver.client.post(f"{ROUTE}/{shared['id']}/read")
        reply = await receiver.client.post(f"{ROUTE}/{shared['id']}/messages", json={"text": "Hi"})
        assert (expected, 202 if US in visible else 404) == (read.status_code, reply.status_code)


async def key(receiver: Receiver, channels: list[str]) -> str:
    app = receiver.app
    return await create_key(
        app._engine, app._secrets, name="+".join(channels), scopes=["read", "send"], channels=channels
    )


async def test_a_reply_goes_from_the_number_that_was_written_to_on_the_channel_of_the_last_message(
    receiver: Receiver,
) -> None:
    await hears(receiver, inbound("in-1"))
    await hears(receiver, inbound("in-2"), channel="texts")
    conversation = await only(receiver)
    path = f"{ROUTE}/{conversation['id']}/messages"
    again = {"Idempotency-Key": "once"}
    answers = [await receiver.client.post(path, json={"text": "Until six."}, headers=again) for _ in range(2)]

    [message] = answers[0].json()["data"]
    assert [202, 202] == [answer.status_code for answer in answers]
    assert answers[0].json()["data"] == answers[1].json()["data"]
    assert "true" == answers[1].headers["idempotency-replayed"]
    assert (US, THEM, "texts", conversation["id"]) == tuple(
        message[name] for name in ("from", "to", "channel", "conversation_id")
    )
    assert 3 == (await only(receiver))["message_count"]


async def test_a_reply_in_a_group_stays_in_the_group(receiver: Receiver) -> None:
    await hears(receiver, inbound("in-1", participants=(OTHER,)))
    group = await only(receiver)
    answer = await receiver.client.post(f"{ROUTE}/{group['id']}/messages", json={"text": "Hi"})

    [message] = answer.json()["data"]
    assert (group["id"], THEM) == (message["conversation_id"], message["to"])


async def test_what_was_said_while_postgres_was_away_does_not_wait_for_an_answer_given_since(
    receiver: Receiver,
) -> None:
    earlier = datetime(2026, 11, 1, tzinfo=UTC)
    await hears(receiver, inbound("in-1"))
    await send(receiver)
    one = told(Source("sinch-us", "sinch_mms", US), inbound("in-2", "Late"))
    late = Arrival(one.payload._replace(received_at=earlier), one.source, one.events, late=True)
    assert "applied" == await receiver.app._ingest.put(late)

    conversation = await only(receiver)
    messages = (await get(receiver, f"{ROUTE}/{conversation['id']}/messages"))["data"]
    assert ["Hi", "Hello", "Late"] == [message["text"] for message in messages]
    assert ("2026-11-01T00:00:00.000Z", None) == (messages[2]["created_at"], messages[2]["in_reply_to"])

    assert (None, 3, "Hi") == (
        conversation["waiting_since"],
        conversation["message_count"],
        conversation["last_message"]["preview"],
    )


async def test_both_sides_stand_in_one_conversation_end_to_end(database_url: str) -> None:
    async with installation(database_url) as installed:
        sent = await installed.send()
        await installed.until(sent["id"], "delivered")
        answer = await installed.carrier.post(
            "/practice/inbound", json={"from": THEM, "to": US, "text": "Thank you", "account": CHANNEL}
        )
        assert answer.is_success, answer.text
        [reply] = await installed.listed(1, direction="inbound")
        conversation = (await installed.api.get(f"{ROUTE}/{sent['conversation_id']}")).json()

    assert (sent["conversation_id"], sent["id"]) == (reply["conversation_id"], reply["in_reply_to"])
    assert 2 == conversation["message_count"]
