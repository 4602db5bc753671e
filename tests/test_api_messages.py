"""What people and programs read of messages."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from sqlalchemy import text

from models.errors import ErrorClass
from models.events import Inbound, MediaPart, Report
from models.reference import FOREIGN_REFERENCE
from models.status import Outcome, Status
from receiver.problems import Problem
from receiver.rows import MediaRow
from tests.support.api import Api, running
from tests.support.records import accept, outgoing, settle, tell

MESSAGES = "/v1/messages"


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[Api]:
    async with running(database_url) as served:
        yield served


def report(
    carrier_id: str,
    status: Status | None,
    *,
    word: str = "N102",
    error: ErrorClass | None = None,
    **values: str,
) -> Report:
    return Report(
        provider_message_id=carrier_id,
        provider_status=word,
        status=status,
        identity=(carrier_id, word),
        error=error,
        kind="mms",
        **values,  # type: ignore[arg-type]
    )


async def test_a_message_that_only_its_carrier_knows_has_a_timeline(api: Api, database_url: str) -> None:
    await tell(database_url, report("c1", Status.SENT, word="N101", client_reference="order-42"))
    payload_id = await tell(database_url, report("c1", Status.DELIVERED, delivered_as="mms"))

    (listed,) = (await api.get(MESSAGES, params={"provider_message_id": "c1"}))["data"]
    message = await api.get(f"{MESSAGES}/{listed['id']}")

    timeline = message.pop("timeline")
    assert listed == message
    assert {
        "direction": "outbound",
        "origin": "external",
        "from": None,
        "to": None,
        "text": None,
        "media": [],
        "status": "delivered",
        "outcome": "success",
        "error": None,
        "conflict": False,
        "delivered_as": "mms",
        "correlation": "provider_id",
        "client_reference": "order-42",
        "wire_reference": None,
        "provider_message_ids": ["c1"],
        "conversation_id": None,
        "segments": 1,
        "fallback_text": None,
        "send_at": None,
        "expires_at": None,
        "options": {},
        "metadata": {},
    }.items() <= message.items()
    assert [("sent", 1, True), ("delivered", 2, True)] == [
        (event["status"], event["version"], event["effective"]) for event in timeline
    ]
    assert {
        "type": "message.delivered",
        "message_id": message["id"],
        "source": "report",
        "provider_status": "N102",
        "client_reference": "order-42",
        "payload_id": str(payload_id),
        "occurred_at": None,
    }.items() <= timeline[1].items()
    assert "superseded" not in timeline[1]


async def test_a_message_shows_every_key_of_the_contract_in_order(api: Api, database_url: str) -> None:
    [message_id] = await accept(database_url, outgoing())

    message = await api.get(f"{MESSAGES}/{message_id}")

    assert [
        "id", "direction", "origin", "channel", "provider", "kind", "from", "to", "text", "subject", "media",
        "status", "outcome", "error", "conflict", "delivered_as", "correlation", "client_reference",
        "wire_reference", "provider_message_ids", "conversation_id", "can_reply", "in_reply_to", "segments",
        "fallback_text", "send_at", "expires_at", "options", "metadata", "created_at", "updated_at",
        "timeline",
    ] == list(message)  # fmt: skip
    assert [
        "id", "cursor", "sequence", "version", "type", "message_id", "conversation_id", "channel", "status",
        "effective", "source", "provider_status", "provider_code", "provider_message", "client_reference",
        "occurred_at", "received_at", "payload_id",
    ] == list(message["timeline"][0])  # fmt: skip


async def test_an_inbound_message_shows_who_wrote_what(api: Api, database_url: str) -> None:
    inbound = Inbound(
        provider_message_id="in-1",
        identity=("in-1",),
        sender="+12065550123",
        recipient="+18885551234",
        text="Yes",
        media=(MediaPart("https://carrier.example/b"), MediaPart("https://carrier.example/a", "image/png")),
        kind="mms",
        metadata={"keyword": "YES"},
    )
    await tell(database_url, inbound)

    (message,) = (await api.get(MESSAGES, params={"direction": "inbound"}))["data"]

    assert ("+12065550123", "+18885551234") == (message["from"], message["to"])
    assert ("received", "success", "Yes") == (message["status"], message["outcome"], message["text"])
    assert ["in-1"] == message["provider_message_ids"]
    assert [("https://carrier.example/b", None), ("https://carrier.example/a", "image/png")] == [
        (file["url"], file["content_type"]) for file in message["media"]
    ]
    assert message["conversation_id"] is not None
    assert {"keyword": "YES"} == message["metadata"]


async def test_a_failure_says_what_to_do_next(api: Api, database_url: str) -> None:
    failed = report(
        "c1", Status.REJECTED, word="E102", error=ErrorClass.UNKNOWN_SUBSCRIBER, provider_code="E102",
        provider_message="Unknown subscriber",
    )  # fmt: skip
    await tell(database_url, failed)

    (message,) = (await api.get(MESSAGES, params={"error_class": "unknown_subscriber"}))["data"]

    assert {
        "class": "unknown_subscriber",
        "code": "E102",
        "message": "Unknown subscriber",
        "next_step": "The number is not in service. Do not send to it again.",
        "retry": "never",
    } == message["error"]


async def test_a_failure_without_a_reason_is_of_unknown_class_and_found_as_such(
    api: Api, database_url: str
) -> None:
    await tell(database_url, report("c1", Status.FAILED, word="boom"))

    (message,) = (await api.get(MESSAGES, params={"error_class": "unknown"}))["data"]

    assert ("failed", "unknown", "later") == (
        message["status"],
        message["error"]["class"],
        message["error"]["retry"],
    )


async def test_a_class_of_a_later_version_is_shown_as_unknown(api: Api, database_url: str) -> None:
    await tell(database_url, report("c1", Status.REJECTED, error=ErrorClass.NO_ROUTE))
    async with api.engine.begin() as db:
        for table in ("attention", "event"):
            await db.execute(text(f"UPDATE postback.{table} SET error_class = 'of_later'"))  # noqa: S608

    (message,) = (await api.get(MESSAGES))["data"]

    assert "unknown" == message["error"]["class"]
    assert (await api.get(f"{MESSAGES}/{message['id']}"))["error"] == message["error"]


async def test_a_receipt_after_a_failure_is_a_conflict_without_an_error(api: Api, database_url: str) -> None:
    await tell(database_url, report("c1", Status.REJECTED, word="E102", error=ErrorClass.CARRIER_ERROR))
    await tell(database_url, report("c1", Status.DELIVERED, word="N202", delivered_as="sms"))
    await tell(database_url, report("c2", Status.DELIVERED))

    (message,) = (await api.get(MESSAGES, params={"conflict": "true"}))["data"]
    (other,) = (await api.get(MESSAGES, params={"conflict": "false"}))["data"]

    assert ("delivered", True, None, "sms") == (
        message["status"],
        message["conflict"],
        message["error"],
        message["delivered_as"],
    )
    assert ["c2"] == other["provider_message_ids"]
    assert [] == (await api.get(MESSAGES, params={"error_class": "carrier_error"}))["data"]


async def test_a_word_that_nobody_knows_is_in_the_timeline(api: Api, database_url: str) -> None:
    await tell(database_url, report("c1", None, word="N999"))

    (message,) = (await api.get(MESSAGES, params={"status": "queued"}))["data"]
    (event,) = (await api.get(f"{MESSAGES}/{message['id']}/events"))["data"]

    assert ("message.unmapped", None, "N999") == (event["type"], event["status"], event["provider_status"])
    assert "pending" == message["outcome"]


async def test_an_adopted_id_goes_on_answering(api: Api, database_url: str) -> None:
    await tell(database_url, report("c1", Status.DELIVERED))
    (stranger,) = (await api.get(MESSAGES))["data"]
    [message_id] = await accept(database_url, outgoing(client_reference="mine"))
    await settle(database_url, message_id, Status.QUEUED, provider_message_id="c1")

    message = await api.get(f"{MESSAGES}/{stranger['id']}")
    events = await api.get(f"{MESSAGES}/{stranger['id']}/events")
    found = await api.client.post(f"{MESSAGES}/lookup", json={"ids": [stranger["id"], str(message_id)]})

    assert str(message_id) == message["id"]
    assert ("delivered", "mine", ["c1"]) == (
        message["status"],
        message["client_reference"],
        message["provider_message_ids"],
    )
    # order of arrival: the carrier spoke before we had sent
    assert ["delivered", "accepted", "queued"] == [event["status"] for event in message["timeline"]]
    assert message["timeline"] == events["data"]
    assert [str(message_id)] == [one["id"] for one in found.json()["data"]]
    assert {"ids": [], "provider_message_ids": [], "client_references": []} == found.json()["missing"]


async def test_somebody_elses_reference_is_no_provider_message_id(api: Api, database_url: str) -> None:
    foreign = Report(None, "N102", Status.DELIVERED, ("x",), client_reference="theirs")
    await tell(database_url, foreign)

    (message,) = (await api.get(MESSAGES, params={"client_reference": "theirs"}))["data"]
    hidden = await api.get(MESSAGES, params={"provider_message_id": f"{FOREIGN_REFERENCE}theirs"})

    assert [] == message["provider_message_ids"]
    assert [] == hidden["data"]


async def test_numbers_are_found_in_any_spelling_on_the_right_side(api: Api, database_url: str) -> None:
    [outbound] = await accept(database_url, outgoing("+12065550123", our_number="+18885551234"))
    await tell(
        database_url,
        Inbound("in-1", ("in-1",), sender="+12065550123", recipient="+18885551234", text="Yes"),
    )

    async def directions(**params: str) -> list[str]:
        return [one["direction"] for one in (await api.get(MESSAGES, params=params))["data"]]

    assert ["inbound", "outbound"] == await directions(contact="(206) 555-0123")
    assert ["outbound"] == await directions(to="+1 206 555 0123")
    assert ["inbound"] == await directions(**{"from": "12065550123"})
    assert ["outbound"] == await directions(**{"from": "+18885551234"})
    assert [] == await directions(contact="nobody at all, really")
    unencoded = await api.get(f"{MESSAGES}?to=+12065550123")
    assert [str(outbound)] == [one["id"] for one in unencoded["data"]]


async def test_every_status_and_outcome_finds_exactly_its_messages(api: Api, database_url: str) -> None:
    [bare] = await accept(database_url, outgoing())
    for status in Status:
        if status is not Status.RECEIVED:
            await tell(database_url, report(f"c-{status}", status, word=status))

    everything = (await api.get(MESSAGES, params={"limit": "200"}))["data"]
    for status in Status:
        found = (await api.get(MESSAGES, params={"status": status, "limit": "200"}))["data"]
        assert [one for one in everything if one["status"] == status] == found
    for outcome in Outcome:
        found = (await api.get(MESSAGES, params={"outcome": outcome, "limit": "200"}))["data"]
        assert [one for one in everything if one["outcome"] == outcome] == found
    assert str(bare) in [one["id"] for one in everything if one["status"] == "accepted"]
    assert len(Status) == len(everything)


async def test_a_list_by_status_says_how_far_it_looks_back(api: Api) -> None:
    by_status = await api.get(MESSAGES, params={"status": "sent"})
    told = await api.get(MESSAGES, params={"status": "sent", "created_after": "2026-01-01T00:00:00Z"})
    plain = await api.get(MESSAGES)

    looks_back = datetime.now(UTC) - datetime.fromisoformat(by_status["created_after"])
    assert timedelta(days=30) <= looks_back < timedelta(days=30, minutes=1)
    assert ["data", "next_cursor"] == list(told) == list(plain)


async def test_pages_hold_every_message_once_newest_first(api: Api, database_url: str) -> None:
    sent = await accept(database_url, *(outgoing(f"+1206555{n:04}") for n in range(7)))

    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = await api.get(MESSAGES, params={"limit": 3, **({"cursor": cursor} if cursor else {})})
        seen += [one["id"] for one in page["data"]]
        cursor = page["next_cursor"]

    assert [str(one) for one in sorted(sent, reverse=True)] == seen


async def test_events_come_in_pages_in_order_of_arrival(api: Api, database_url: str) -> None:
    for number in range(5):
        await tell(database_url, report("c1", Status.SENT, word=f"w{number}"))
    (message,) = (await api.get(MESSAGES))["data"]
    path = f"{MESSAGES}/{message['id']}/events"

    first = await api.get(path, params={"limit": 3})
    rest = await api.get(path, params={"limit": 3, "cursor": first["next_cursor"]})

    words = [event["provider_status"] for event in first["data"] + rest["data"]]
    assert ["w0", "w1", "w2", "w3", "w4"] == words
    assert rest["next_cursor"] is None
    assert [True, False] == [event["effective"] for event in first["data"][:2]]


async def test_a_window_of_time_includes_its_beginning_and_not_its_end(api: Api, database_url: str) -> None:
    [message_id] = await accept(database_url, outgoing())
    created_at = (await api.get(f"{MESSAGES}/{message_id}"))["created_at"]

    since = await api.get(MESSAGES, params={"created_after": created_at})
    before = await api.get(MESSAGES, params={"created_before": created_at})

    assert [str(message_id)] == [one["id"] for one in since["data"]]
    assert [] == before["data"]
    assert [] == (await api.get(MESSAGES, params={"created_before": "1820-01-01T00:00:00Z"}))["data"]


async def test_superseded_events_are_shown_only_on_request(api: Api, database_url: str) -> None:
    await tell(database_url, report("c1", Status.SENT, word="N101"))
    await tell(database_url, report("c1", Status.DELIVERED))
    async with api.engine.begin() as connection:
        await connection.execute(text("UPDATE postback.event SET superseded = true WHERE version = 1"))
    (message,) = (await api.get(MESSAGES))["data"]
    path = f"{MESSAGES}/{message['id']}"

    standing = await api.get(path)
    everything = await api.get(path, params={"superseded": "true"})

    assert [2] == [event["version"] for event in standing["timeline"]]
    assert [True, None] == [event.get("superseded") for event in everything["timeline"]]
    assert everything["timeline"] == (await api.get(f"{path}/events?superseded=true"))["data"]


async def test_lookup_finds_by_any_name_and_says_what_it_missed(api: Api, database_url: str) -> None:
    first, second = outgoing(client_reference="order-1"), outgoing(client_reference="order-1")
    await accept(database_url, first, second)
    await tell(database_url, report("c9", Status.DELIVERED))
    asked = {
        "ids": [str(first.id), "no id", str(uuid4())],
        "provider_message_ids": ["c9", "c10"],
        "client_references": ["order-1", "order-2"],
    }

    answer = (await api.client.post(f"{MESSAGES}/lookup", json=asked)).json()

    assert 3 == len(answer["data"])
    assert all(message["timeline"] for message in answer["data"])
    assert {
        "ids": asked["ids"][1:],
        "provider_message_ids": ["c10"],
        "client_references": ["order-2"],
    } == answer["missing"]


async def test_more_than_100_names_are_too_many(api: Api) -> None:
    asked = {"ids": ["x"] * 60, "client_references": ["y"] * 41}

    response = await api.client.post(f"{MESSAGES}/lookup", json=asked)

    assert (422, "invalid_field") == (response.status_code, response.json()["code"])


async def test_a_key_bound_to_a_channel_sees_nothing_of_the_others(api: Api, database_url: str) -> None:
    [message_id] = await accept(database_url, outgoing())
    await tell(database_url, report("c1", Status.SENT), channel="other")
    bound = await api.key("read", channels=["other"])

    listed = await api.get(MESSAGES, headers=bound)
    hidden = await api.client.get(f"{MESSAGES}/{message_id}", headers=bound)
    events = await api.client.get(f"{MESSAGES}/{message_id}/events", headers=bound)
    asked = {"ids": [str(message_id)], "provider_message_ids": ["c1"]}
    found = (await api.client.post(f"{MESSAGES}/lookup", json=asked, headers=bound)).json()

    assert ["other"] == [one["channel"] for one in listed["data"]]
    assert [404, 404] == [hidden.status_code, events.status_code]
    assert ["other"] == [one["channel"] for one in found["data"]]
    assert [str(message_id)] == found["missing"]["ids"]


async def test_a_send_is_answered_with_its_messages_in_the_order_given(api: Api) -> None:
    body = {
        "to": ["+12065550199", "+12065550100"],
        "text": "Hi",
        "client_reference": "o",
        "metadata": {"a": [1]},
    }

    response = await api.client.post(MESSAGES, json=body, headers={"Idempotency-Key": '"key \\"1\\""'})
    again = await api.client.post(MESSAGES, content=b' {"metadata":{"a":[1]},"client_reference":"o",'
                                  b'"text":"Hi","to":["+12065550199","+12065550100"]}')  # fmt: skip

    assert 202 == response.status_code
    assert body["to"] == [one["to"] for one in response.json()["data"]]
    assert ["accepted", "accepted"] == [one["status"] for one in response.json()["data"]]
    assert "idempotency-replayed" not in response.headers
    first, second = api.submit.calls
    assert ('key "1"', None) == (first["idempotency_key"], second["idempotency_key"])
    assert ("tests", None) == (first["scope"], first["channels"])
    assert first["request_hash"] == second["request_hash"]
    assert 202 == again.status_code


async def test_a_replayed_send_says_so(api: Api) -> None:
    api.submit.replayed = True

    response = await api.client.post(MESSAGES, json={"to": "+12065550123"}, headers={"Idempotency-Key": "k"})

    assert "true" == response.headers["idempotency-replayed"]


async def test_what_submit_refuses_is_answered_as_it_says(api: Api) -> None:
    api.submit.refusal = Problem("idempotency_running", "Still at it.")

    response = await api.client.post(MESSAGES, json={"to": "+12065550123"})

    assert (409, "idempotency_running", "Still at it.") == (
        response.status_code,
        response.json()["code"],
        response.json()["detail"],
    )


async def test_media_of_a_message_stand_in_their_order(api: Api, database_url: str) -> None:
    message = outgoing()
    files = [MediaRow(message.id, place, uuid4(), f"https://x/{place}", None, "pending") for place in (1, 0)]
    await accept(database_url, message, media=files)

    shown = (await api.get(f"{MESSAGES}/{message.id}"))["media"]

    assert ["https://x/0", "https://x/1"] == [file["url"] for file in shown]


async def test_a_bound_key_sees_no_more_of_what_it_sends_than_its_channels(api: Api) -> None:
    bound = await api.key("send", channels=["other"])

    response = await api.client.post(MESSAGES, json={"to": "+12065550123"}, headers=bound)

    assert frozenset({"other"}) == api.submit.calls[0]["channels"]
    assert [] == response.json()["data"]


async def test_a_migration_under_a_reader_costs_one_try(api: Api, database_url: str) -> None:
    """However many connections knew the table as it was."""
    [message_id] = await accept(database_url, outgoing())
    path = f"{MESSAGES}/{message_id}"
    await asyncio.gather(*(api.get(path) for _ in range(5)))
    async with api.engine.begin() as connection:
        await connection.execute(text("ALTER TABLE postback.message ADD COLUMN news text"))

    first = await api.client.get(path)
    after = [await api.client.get(path) for _ in range(5)]

    assert (503, "5") == (first.status_code, first.headers["retry-after"])
    assert [200] * 5 == [answer.status_code for answer in after]
