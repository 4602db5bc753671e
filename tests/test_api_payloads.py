"""Carriers' requests, and messages stored with carriers, as the API shows them."""

import base64
from collections.abc import AsyncIterator

import pytest

from models.errors import ErrorClass
from models.events import Report, TemplateReport, TemplateState
from models.status import Status
from tests.support.api import Api, running
from tests.support.records import CHANNEL, accept, outgoing, settle, tell

PAYLOADS, TEMPLATES = "/v1/payloads", "/v1/templates"


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[Api]:
    async with running(database_url) as served:
        yield served


def sent(carrier_id: str) -> Report:
    return Report(carrier_id, "N101", Status.SENT, (carrier_id, "N101"))


async def test_a_payload_is_shown_byte_for_byte(api: Api, database_url: str) -> None:
    body = b"\x00\xff not JSON \xed\xa0\x80"
    payload_id = await tell(database_url, state="quarantined", body=body)

    payload = await api.get(f"{PAYLOADS}/{payload_id}")

    received_at = payload.pop("received_at")
    assert {
        "id": str(payload_id),
        "channel": CHANNEL,
        "state": "quarantined",
        "reason": None,
        "method": "POST",
        "query": "a=1",
        "headers": {"content-type": "application/json"},
        "body_base64": base64.b64encode(body).decode(),
        "size": len(body),
        "peer": "198.51.100.7",
        "message_ids": [],
    } == payload
    assert received_at.endswith("Z")


async def test_a_payload_names_the_message_that_its_own_became(api: Api, database_url: str) -> None:
    payload_id = await tell(database_url, sent("c1"))
    [message_id] = await accept(database_url, outgoing())
    await settle(database_url, message_id, Status.QUEUED, provider_message_id="c1")

    payload = await api.get(f"{PAYLOADS}/{payload_id}")

    assert [str(message_id)] == payload["message_ids"]


async def test_payloads_are_listed_by_state_and_channel_in_pages(api: Api, database_url: str) -> None:
    first = await tell(database_url, sent("c1"))
    again = await tell(database_url, sent("c1"))
    other = await tell(database_url, sent("c1"), channel="other")

    newest = await api.get(PAYLOADS, params={"limit": 2})
    oldest = await api.get(PAYLOADS, params={"limit": 2, "cursor": newest["next_cursor"]})
    repeated = await api.get(PAYLOADS, params={"state": "duplicate"})
    elsewhere = await api.get(PAYLOADS, params={"channel": "other"})

    assert [str(other), str(again), str(first)] == [one["id"] for one in newest["data"] + oldest["data"]]
    assert [str(again)] == [one["id"] for one in repeated["data"]]
    assert [str(other)] == [one["id"] for one in elsewhere["data"]]
    assert oldest["next_cursor"] is None


async def test_a_page_of_large_payloads_ends_early_and_loses_none(api: Api, database_url: str) -> None:
    ids = [await tell(database_url, state="quarantined", body=b"x" * (3 << 20)) for _ in range(2)]

    first = await api.get(PAYLOADS)
    rest = await api.get(PAYLOADS, params={"cursor": first["next_cursor"]})

    assert [str(ids[1])] == [one["id"] for one in first["data"]]
    assert [str(ids[0])] == [one["id"] for one in rest["data"]]


async def test_payloads_are_for_admin_keys_of_the_channel(api: Api, database_url: str) -> None:
    payload_id = await tell(database_url, sent("c1"))
    reader, bound = await api.key("read", "send"), await api.key("admin", channels=["other"])

    statuses = [
        (await api.client.get(f"{PAYLOADS}/{payload_id}", headers=headers)).status_code
        for headers in (reader, bound)
    ]

    assert [403, 404] == statuses
    assert [] == (await api.get(PAYLOADS, headers=bound))["data"]


async def test_a_template_is_created_and_read_back(api: Api) -> None:
    body = {
        "channel": CHANNEL,
        "name": "sale",
        "subject": "Sale",
        "media": [{"url": "https://example.com/a.png"}],
    }

    created = await api.client.post(TEMPLATES, json=body)
    read = await api.get(created.headers["location"])

    assert 201 == created.status_code
    assert created.json() == read == (await api.get(TEMPLATES))["data"][0]
    assert [
        "id", "channel", "name", "subject", "text", "media", "fallback_text", "state", "error", "created_at",
        "updated_at",
    ] == list(read)  # fmt: skip
    assert ("pending", "Sale", None) == (read["state"], read["subject"], read["error"])


async def test_a_template_that_its_carrier_refused_says_why(api: Api, database_url: str) -> None:
    await tell(
        database_url,
        TemplateReport("t1", TemplateState.FAILED, "E002", error=ErrorClass.MEDIA_ERROR),
    )
    bound = await api.key("read", channels=["other"])

    (template,) = (await api.get(TEMPLATES))["data"]

    assert ("failed", None, "media_error", "E002") == (
        template["state"],
        template["name"],
        template["error"]["class"],
        template["error"]["code"],
    )
    assert [] == (await api.get(TEMPLATES, headers=bound))["data"]
