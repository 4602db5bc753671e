"""The reference that goes out: it is shown, found by every look-up, and leads reports to their message."""

import asyncio
from typing import Any

import httpx
import orjson
import pytest

from receiver.channel_checks import providers_of
from receiver.config import ConfigError, settings
from tests.support.installation import CHANNEL, THEM, US, Installation, installation, key_of
from tests.support.patience import PATIENCE

pytestmark = pytest.mark.usefixtures("unhurried")

OUR_MOBILE, THEIR_MOBILE = "+61491570006", "+61491570156"
APPS: dict[str, Any] = {"wire_reference": "client_reference", "from": [US]}
OURS: dict[str, Any] = {"from": [US]}
#: the carriers whose sends have a field for a reference, and what it is called there
FIELDS = {
    "sinch_mms": "client-reference",
    "sinch_sms": "client_reference",
    "swift": "id",
    "cellcast": "custom_string",
}


def keys(number: str, **more: Any) -> dict[str, Any]:
    """Returns the keys of a channel with that *number*, and *more* of them."""
    return {**more, "from": [number]}


def numbers(provider: str) -> tuple[str, str]:
    """Returns ours and theirs, as *provider* takes them."""
    return (OUR_MOBILE, THEIR_MOBILE) if provider == "cellcast" else (US, THEM)


async def sent(home: Installation, calls: int = 1) -> list[dict[str, Any]]:
    """Returns the bodies of the first *calls* sends that the carrier read."""
    async with asyncio.timeout(PATIENCE):
        while True:
            read = await home.journal()
            if len(read) >= calls:
                return [entry["body"] for entry in read]
            await asyncio.sleep(0.02)


async def looked_up(home: Installation, **names: list[str]) -> dict[str, Any]:
    answer = await home.api.post("/v1/messages/lookup", json=names)
    assert 200 == answer.status_code, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def report(home: Installation, **fields: str) -> None:
    """A postback of Sinch MMS that says that a message was delivered."""
    body = {"code": "N102", "status": "Message Sent/Delivered", "origin": "MMS_MT", **fields}
    answer = await home.hook(orjson.dumps(body))
    assert 200 == answer.status_code, answer.text


@pytest.mark.parametrize("provider", FIELDS)
async def test_what_went_out_is_shown_and_finds_the_message_under_every_name(
    database_url: str, provider: str
) -> None:
    ours, theirs = numbers(provider)
    async with installation(database_url, provider, **keys(ours)) as home:
        message = await home.send(theirs, client_reference="order-42")
        other = await home.send(theirs, client_reference="order-43")
        await home.until(message["id"], "delivered")
        reference = (await home.message(message["id"]))["wire_reference"]
        on_the_wire = [body[FIELDS[provider]] for body in await sent(home, 2)]
        found = {
            name: await looked_up(home, **{name: [reference, "nobody"]})
            for name in ("ids", "provider_message_ids", "client_references")
        }
        listed = [
            await home.listed(1, **{name: reference}) for name in ("provider_message_id", "client_reference")
        ]
        both = await home.listed(1, provider_message_id=reference, client_reference="order-42")
        by_itself = await home.message(reference)
        events = await home.api.get(f"/v1/messages/{reference}/events")

    assert reference in on_the_wire
    assert None is message["wire_reference"]
    for name, answer in found.items():
        assert [message["id"]] == [one["id"] for one in answer["data"]]
        assert ["nobody"] == answer["missing"][name]
    assert [[message["id"]]] * 3 == [[one["id"] for one in page] for page in (*listed, both)]
    assert message["id"] == by_itself["id"]
    assert {message["id"]} == {event["message_id"] for event in events.json()["data"]}
    assert other["id"] != message["id"]


async def test_the_reference_of_a_call_to_several_finds_them_all_in_a_look_up(database_url: str) -> None:
    everybody = [f"+1206555010{last}" for last in range(3)]
    async with installation(database_url, "sinch_sms", **OURS) as home:
        answer = await home.api.post("/v1/messages", json={"to": everybody, "text": "Hello"})
        made = [message["id"] for message in answer.json()["data"]]
        shown = [await home.until(one, "delivered") for one in made]
        [reference] = {message["wire_reference"] for message in shown}
        found = await looked_up(home, client_references=[reference])
        listed = await home.listed(3, client_reference=reference)
        alone = await home.api.get(f"/v1/messages/{reference}")

    assert set(made) == {one["id"] for one in found["data"]} == {one["id"] for one in listed}
    assert 404 == alone.status_code


async def test_a_key_of_other_channels_finds_nothing_by_a_reference(database_url: str) -> None:
    async with installation(database_url, **OURS) as home:
        message = await home.until((await home.send())["id"], "delivered")
        reference = message["wire_reference"]
        key = await key_of(home.settings, "foreign", ["elsewhere"])
        foreign = {"authorization": f"Bearer {key}"}
        async with httpx.AsyncClient(base_url=home.api.base_url, headers=foreign) as other:
            answers = [
                (await other.post("/v1/messages/lookup", json={"ids": [reference]})).json()["data"],
                (await other.get("/v1/messages", params={"client_reference": reference})).json()["data"],
            ]
            alone = await other.get(f"/v1/messages/{reference}")

    assert [[], []] == answers
    assert 404 == alone.status_code


@pytest.mark.parametrize("provider", FIELDS)
async def test_a_channel_may_send_the_apps_own_reference(database_url: str, provider: str) -> None:
    ours, theirs = numbers(provider)
    async with installation(database_url, provider, **keys(ours, **APPS)) as home:
        message = await home.send(theirs, client_reference="order-42")
        bare = await home.send(theirs)
        shown = await home.until(message["id"], "delivered")
        unnamed = await home.until(bare["id"], "delivered")
        on_the_wire = {body[FIELDS[provider]] for body in await sent(home, 2)}
        found = await looked_up(home, client_references=["order-42"])
        every = await home.listed(2)

    assert "order-42" == shown["wire_reference"] == shown["client_reference"]
    assert {"order-42", unnamed["wire_reference"]} == on_the_wire
    assert [message["id"]] == [one["id"] for one in found["data"]]
    assert {message["id"], bare["id"]} == {one["id"] for one in every}


@pytest.mark.parametrize(
    ("provider", "kind"), [("voicetel", "sms"), ("cellcast_v1", "sms"), ("cellcast", "mms")]
)
async def test_a_call_without_a_field_for_a_reference_shows_none(
    database_url: str, provider: str, kind: str
) -> None:
    ours, theirs = (US, THEM) if provider == "voicetel" else (OUR_MOBILE, THEIR_MOBILE)
    async with installation(database_url, provider, **keys(ours)) as home:
        uploaded = await home.api.post(
            "/v1/media", content=b"GIF89a\x01\x00\x01\x00\x00\x00\x00;", headers={"content-type": "image/gif"}
        )
        files = {"media": [{"id": uploaded.json()["id"]}]} if kind == "mms" else {}
        message = await home.send(theirs, client_reference="order-42", **files)
        await sent(home)
        shown = await home.until(message["id"], "delivered", "unconfirmed", "queued", "sent")

    assert None is shown["wire_reference"]


async def test_reports_before_the_answer_find_their_message_by_the_apps_reference(database_url: str) -> None:
    people = [f"+1206555010{last}" for last in range(4)]
    async with installation(database_url, **APPS) as home:
        await home.order(early=True, duplicate=2)
        answer = await home.api.post(
            "/v1/messages", json={"to": people, "text": "Hello", "client_reference": "order-42"}
        )
        made = [message["id"] for message in answer.json()["data"]]
        shown = [await home.until(one, "delivered") for one in made]
        every = await home.listed(4)

    assert ["own_id"] * 4 == [message["correlation"] for message in shown]
    assert set(made) == {message["id"] for message in every}


async def test_a_lost_answer_is_settled_by_a_report_with_the_apps_reference(database_url: str) -> None:
    async with installation(database_url, **APPS) as home:
        await home.order(answer="closed", late=0.5)
        message = await home.send(client_reference="0b5c3a52-1f0e-4c3a-9e7e-2d1f5a6b7c8d")
        shown = await home.until(message["id"], "delivered")
        every = await home.listed(1)

    assert [message["id"]] == [one["id"] for one in every]
    assert "own_id" == shown["correlation"]


async def test_a_report_that_names_the_reference_alone_counts_for_the_open_message(database_url: str) -> None:
    async with installation(database_url, **APPS) as home:
        ended = await home.send(client_reference="order-42")
        await home.until(ended["id"], "delivered")
        await home.order(report="lost")
        opened = await home.send(client_reference="order-42")
        await home.until(opened["id"], "sent")
        for _ in range(2):  # the second is the carrier's second try, when none is open any more
            await report(home, **{"client-reference": "order-42"})
        shown = await home.message(opened["id"])
        every = await home.listed(2)

    assert "delivered" == shown["status"]
    assert 1 == sum(event["status"] == "delivered" for event in shown["timeline"])
    assert {ended["id"], opened["id"]} == {one["id"] for one in every}


async def test_a_report_that_could_be_of_two_open_messages_is_of_neither(database_url: str) -> None:
    async with installation(database_url, **APPS) as home:
        await home.order(report="lost")
        made = [await home.send(client_reference="order-42") for _ in range(2)]
        for message in made:
            await home.until(message["id"], "sent")
        await report(home, **{"client-reference": "order-42"})
        [found] = await home.listed(1, status="delivered")

    assert ("external", "order-42") == (found["origin"], found["client_reference"])


async def test_a_report_under_another_id_of_the_carrier_is_of_another_message(database_url: str) -> None:
    async with installation(database_url, **APPS) as home:
        await home.order(report="lost")
        message = await home.until((await home.send(client_reference="order-42"))["id"], "sent")
        elsewhere = {"client-reference": "order-42", "tracking-id": "of-another-app", "to": THEM[1:]}
        await report(home, **elsewhere)
        [found] = await home.listed(1, status="delivered")
        again = await home.message(message["id"])

    assert ("external", ["of-another-app"]) == (found["origin"], found["provider_message_ids"])
    assert "sent" == again["status"]


async def test_what_went_out_as_an_id_is_not_found_by_the_apps_reference(database_url: str) -> None:
    async with installation(database_url, **OURS) as home:
        await home.order(report="lost", answer="closed")
        message = await home.send(client_reference="order-42")
        await home.until(message["id"], "uncertain", "sent")
        await report(home, **{"client-reference": "order-42", "tracking-id": "of-another-app"})
        [found] = await home.listed(1, status="delivered")

    assert "external" == found["origin"]


@pytest.mark.parametrize(
    ("provider", "reference", "taken"),
    [
        ("sinch_mms", "x" * 64, True),
        ("sinch_mms", "x" * 65, False),
        ("sinch_sms", "x" * 255, True),
        ("swift", "x" * 255, True),
        ("cellcast", "order-42", True),
        ("cellcast", "order 42", False),
        ("sinch_mms", " order-42", False),
    ],
)
async def test_a_reference_that_goes_out_is_held_against_its_carriers_limits(
    database_url: str, provider: str, reference: str, taken: bool
) -> None:
    ours, theirs = numbers(provider)
    asked = {"to": theirs, "text": "Hello", "client_reference": reference, "channel": CHANNEL}
    async with installation(database_url, provider, sender=False, **keys(ours, **APPS)) as home:
        answer = await home.api.post("/v1/messages", json=asked)

    expected = [] if taken else ["/client_reference"]
    assert (202 if taken else 422) == answer.status_code, answer.text
    assert expected == [error["pointer"] for error in answer.json().get("errors", [])]


async def test_a_reference_that_stays_here_may_be_as_long_as_any(database_url: str) -> None:
    async with installation(database_url, sender=False, **OURS) as home:
        message = await home.send(client_reference="x" * 255)

    assert "x" * 255 == message["client_reference"]


def test_a_channel_whose_carrier_takes_no_reference_cannot_send_one() -> None:
    channel = {"provider": "voicetel", "tokens": ["a-token-for-tests"], "wire_reference": "client_reference"}
    with pytest.raises(ConfigError, match=r"channels\.us: wire_reference"):
        providers_of(settings({"channels": {"us": channel}}))
