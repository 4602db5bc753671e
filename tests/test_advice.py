"""A send that its carrier advises against is warned of in the answer, and goes out all the same."""

from typing import Any

import pytest

from tests.support.installation import CHANNEL, THEM, Installation, installation

CANADIAN, BRITISH = "+14165550123", "+447700900123"


async def answer(home: Installation, **fields: Any) -> dict[str, Any]:
    sent = await home.api.post("/v1/messages", json={"to": THEM, "text": "Hello", **fields})
    assert 202 == sent.status_code, sent.text
    body: dict[str, Any] = sent.json()
    return body


WEBP = {"url": "https://media.example.com/a.webp"}


@pytest.mark.parametrize(
    ("fields", "pointer", "detail"),
    [
        ({"subject": "x" * 41}, "/subject", "at most 40 characters of subject"),
        ({"fallback_text": "x" * 111}, "/fallback_text", "at most 110 characters of fallback text"),
        ({"options": {"from-mask": "Bakery"}}, "/options/from-mask", "in the USA"),
        (
            {"options": {"from-mask": "Bakery"}, "to": [BRITISH, THEM]},
            "/options/from-mask",
            "in the USA",
        ),
        ({"media": [WEBP]}, "/media/0/url", "webp where it is enabled"),
        ({"text": None, "slides": [{"text": "A"}, {"media": [WEBP]}]}, "/slides/1/media/0/url", "webp"),
    ],
)
async def test_what_is_advised_against_is_a_warning(
    database_url: str, fields: dict[str, Any], pointer: str, detail: str
) -> None:
    async with installation(database_url) as home:
        body = await answer(home, **fields)
        await home.until(body["data"][-1]["id"], "delivered")

        [warning] = body["warnings"]
        assert {"pointer", "detail"} == warning.keys()
        assert pointer == warning["pointer"]
        assert detail in warning["detail"]


async def test_what_the_carrier_promises_has_no_warning(database_url: str) -> None:
    fields = {"subject": "x" * 40, "fallback_text": "x" * 110, "options": {"from-mask": "Bakery"}}
    async with installation(database_url, sender=False) as home:
        for to in (BRITISH, CANADIAN):
            assert {"data"} == (await answer(home, to=to, **fields)).keys()


async def test_a_reply_is_warned_of_too(database_url: str) -> None:
    async with installation(database_url, sender=False) as home:
        conversation = (await home.send())["conversation_id"]
        body = await home.api.post(
            f"/v1/conversations/{conversation}/messages", json={"text": "Yes", "subject": "x" * 41}
        )

        assert ["/subject"] == [warning["pointer"] for warning in body.json()["warnings"]]


async def wire(home: Installation, **fields: Any) -> dict[str, Any]:
    """The last call of the carrier."""
    sent = await home.send(**fields)
    await home.until(sent["id"], "sent", "delivered", "rejected")
    body: dict[str, Any] = (await home.journal())[-1]["body"]
    return body


async def test_a_send_may_name_another_campaign_of_its_channel(database_url: str) -> None:
    async with installation(database_url, service_id=["5210", "5211"]) as home:
        first = await wire(home)
        other = await wire(home, options={"service-id": "5211"})

        assert ("5210", "5211") == (first["service-id"], other["service-id"])


@pytest.mark.parametrize(
    ("listed", "named", "detail"),
    [
        (["5210", "5211"], "5212", "the channel lists 5210, 5211, in its setting service_id"),
        ("5210", "5211", "the channel lists 5210, in its setting service_id"),
        ("", "5210", "the channel lists none, in its setting service_id"),
        ("5210", 5210, "must be one of the campaigns that the channel lists"),
    ],
)
async def test_a_send_may_name_no_campaign_that_its_channel_does_not_list(
    database_url: str, listed: Any, named: Any, detail: str
) -> None:
    async with installation(database_url, sender=False, service_id=listed) as home:
        refused = await home.api.post(
            "/v1/messages",
            json={"channel": CHANNEL, "to": THEM, "text": "Hello", "options": {"service-id": named}},
        )

    assert 422 == refused.status_code
    assert [{"pointer": "/options/service-id", "detail": detail}] == refused.json()["errors"]
