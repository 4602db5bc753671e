"""The kind of a send: an SMS or an MMS, as its contents or the caller say."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from receiver.providers.swift_request import LONGEST_TEXT
from tests.support.installation import THEM, US, Installation, installation
from tests.support.wire import Sent, Wire, wired

PICTURE = {"url": "https://media.example.com/a.png"}


def accepted(sent: Sent) -> Any:
    """The answer of the page of Swift, for each recipient."""
    results = [
        {"error_code": "OK", "id": f"01JDQ11TSMA0SXCS4ZMEP{number[-5:]}", "status": "NEW", "to": number}
        for number in sent.json["to"]
    ]
    return {"results": results}


@pytest.fixture
async def swift(database_url: str) -> AsyncIterator[tuple[Installation, Wire]]:
    async with wired(database_url, "swift", accepted) as home:
        yield home


async def refusal(home: Installation, **fields: Any) -> tuple[str, str, str]:
    answer = await home.api.post("/v1/messages", json={"to": THEM, **fields})
    assert 422 == answer.status_code, answer.text
    [error] = answer.json()["errors"]
    return answer.json()["code"], error["pointer"], error["detail"]


@pytest.mark.parametrize(
    ("fields", "kind", "path"),
    [({}, "sms", "/v1/sms"), ({"kind": "sms"}, "sms", "/v1/sms"), ({"kind": "mms"}, "mms", "/v1/mms")],
)
async def test_a_text_goes_to_the_address_of_its_kind(
    swift: tuple[Installation, Wire], fields: dict[str, Any], kind: str, path: str
) -> None:
    home, wire = swift
    sent = await home.send(text="Hello, World", **fields)
    message = await home.until(sent["id"], "queued")

    [call] = wire.sent
    assert (kind, "Hello, World") == (message["kind"], message["text"])
    assert ("POST", path, "Hello, World") == (call.method, call.path, call.json["body"])
    assert {"body", "from", "id", "request_dlr", "to"} == call.json.keys()


async def test_an_mms_of_text_has_1_to_4096_characters(swift: tuple[Installation, Wire]) -> None:
    home, wire = swift
    longest = "x" * LONGEST_TEXT
    for text in (longest, "x"):
        await home.until((await home.send(text=text, kind="mms"))["id"], "queued")
    refused = [await refusal(home, text=text, kind="mms") for text in (longest + "x", "", None)]

    assert 4096 == LONGEST_TEXT
    assert [("/v1/mms", longest), ("/v1/mms", "x")] == [(call.path, call.json["body"]) for call in wire.sent]
    assert [("content_too_large", "/text"), ("invalid_field", "/text"), ("invalid_field", "/text")] == [
        one[:2] for one in refused
    ]


async def test_a_reply_may_be_an_mms_of_text(swift: tuple[Installation, Wire]) -> None:
    home, wire = swift
    first = await home.send()
    await home.until(first["id"], "queued")
    answer = await home.api.post(
        f"/v1/conversations/{first['conversation_id']}/messages", json={"text": "Yes", "kind": "mms"}
    )

    [message] = answer.json()["data"]
    await home.until(message["id"], "queued")
    assert "mms" == message["kind"]
    assert [("/v1/sms", "Hello"), ("/v1/mms", "Yes")] == [
        (call.path, call.json["body"]) for call in wire.sent
    ]


async def test_a_text_on_a_channel_of_mms_alone_is_one_slide(database_url: str) -> None:
    async with installation(database_url) as home:
        sent = await home.send(kind="mms")
        await home.until(sent["id"], "delivered")

        assert [{"message-text": "Hello"}] == (await home.journal())[0]["body"]["slide"]
        assert "mms" == sent["kind"]


@pytest.mark.parametrize(("provider", "number"), [("sinch_sms", US), ("voicetel", US), ("cellcast", US)])
async def test_a_carrier_whose_mms_needs_a_file_takes_no_text_as_one(
    database_url: str, provider: str, number: str
) -> None:
    async with installation(database_url, provider, sender=False, **{"from": [number]}) as home:
        actual = await refusal(home, text="Hello", kind="mms")

    assert ("channel_cannot", "/media", f"{provider} takes no MMS without a file") == actual


@pytest.mark.parametrize(
    ("field", "value"),
    [("media", [PICTURE]), ("subject", "Map"), ("template_id", "019aa5b2-7c00-7000-8000-000000000001")],
)
async def test_an_sms_carries_nothing_that_only_an_mms_has(database_url: str, field: str, value: Any) -> None:
    async with installation(database_url, "swift", sender=False) as home:
        actual = await refusal(home, **{field: value}, kind="sms")

    assert ("/kind", f"an SMS carries no {field}") == actual[1:]


async def test_an_sms_goes_to_no_channel_that_carries_mms_alone(database_url: str) -> None:
    async with installation(database_url, sender=False) as home:
        named = await refusal(home, channel="sinch-us", text="Hello", kind="sms")
        open_choice = await refusal(home, text="Hello", kind="sms")

    assert ("channel_cannot", "/channel") == named[:2]
    assert "carries no SMS" in named[2]
    assert "channel_cannot" == open_choice[0]


async def test_there_is_no_third_kind(database_url: str) -> None:
    async with installation(database_url, sender=False) as home:
        assert "/kind" == (await refusal(home, text="Hello", kind="fax"))[1]
