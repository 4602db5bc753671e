"""The practice carrier of Sinch MMS: what its documents allow and forbid, saved messages, files."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from simulator.app import Account
from tests.support.carrier import CONTROL, running, running_receiver, running_simulator
from tests.support.mms_customer import KEY, Customer, a_customer, a_desk, sendmms


@pytest.fixture
async def customer() -> AsyncIterator[Customer]:
    async with a_customer() as made:
        yield made


@pytest.fixture
async def desk() -> AsyncIterator[httpx.AsyncClient]:
    async with a_desk() as made:
        yield made


async def test_a_saved_mms_can_be_sent_once_it_is_encoded() -> None:
    async with running_receiver() as receiver:
        account = Account(api_key=KEY, callback_url=receiver.url)
        async with (
            running_simulator([account], pace=0.003) as base_url,
            httpx.AsyncClient(base_url=base_url, headers=CONTROL) as client,
        ):
            customer = Customer(client, receiver)
            saved = await customer.send(action="savemms", name="greeting", to=..., client_reference=...)
            assert {"status", "tracking-id", "mms-id", "status-details"} == saved.keys()
            stored = {"action": "sendsavedmms", "mms-id": saved["mms-id"], "slide": ...}
            assert "E626" == (await customer.send(**stored))["error-code"]
            [ready] = await receiver.first(1)
            assert {"origin": "MMS_MT", "code": "N003", "mms-id": saved["mms-id"]} == ready
            sent = await customer.send(**stored)
            assert {"status", "to", "from", "tracking-id", "status-details"} == sent.keys()
            assert "18885551234" == sent["from"]
            assert ["N003", "N101", "N102"] == await customer.codes(3)


@pytest.mark.parametrize(
    ("report", "code"), [("audio_failed", "E002"), ("video_failed", "E003"), ("image_failed", "E004")]
)
async def test_a_saved_mms_that_cannot_be_encoded_is_never_sent(
    customer: Customer, report: str, code: str
) -> None:
    await customer.order(report=report, next=1)
    saved = await customer.send(action="savemms", name="greeting", to=...)
    [failed] = await customer.receiver.first(1)
    assert (code, saved["mms-id"], "ord-7f3c1a") == (
        failed["code"],
        failed["mms-id"],
        failed["client-reference"],
    )
    assert (
        "E241"
        == (await customer.send(action="sendsavedmms", mms_id=saved["mms-id"], slide=...))["error-code"]
    )


IMAGE = {"image": {"url": "https://media.example.com/a.jpg"}}
AUDIO = {"audio": {"url": "https://media.example.com/a.mp3"}}
VIDEO = {"video": {"url": "https://media.example.com/a.mp4"}}
CONTACT = {"contact": {"url": "https://media.example.com/a.vcf"}}
CALENDAR = {"calendar": {"url": "https://media.example.com/a.ics"}}
PDF = {"pdf": {"url": "https://media.example.com/a.pdf"}}


def days_ahead(days: float) -> str:
    return (datetime.now(UTC) + timedelta(days=days)).isoformat()


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"action": ...}, "E100"),
        ({"action": "deletemms"}, "E107"),
        ({"service_id": ...}, "E627"),
        ({"service_id": "1"}, "E627"),
        ({"to": ...}, "E110"),
        ({"to": "+12065550123"}, "E110"),
        ({"to": "0012065550123"}, "E110"),
        ({"to": ["12065550123"]}, "E110"),
        ({"to_displayonly": "12065550123,+1"}, "E110"),
        ({"from": ...}, "E111"),
        ({"from": "Example"}, "E111"),
        ({"from_mask": "m" * 51}, "E115"),
        ({"message_subject": "s" * 81}, "E314"),
        ({"fallback_sms_text": ...}, "E622"),
        ({"disable_fallback_sms": "true"}, "E100"),
        ({"client_reference": "c" * 65}, "E100"),
        ({"mms_expiry_timestamp": days_ahead(3.1)}, "E100"),
        ({"mms_expiry_timestamp": "tomorrow"}, "E100"),
        ({"fallback_sms_link_expiration": days_ahead(367)}, "E100"),
        ({"slide": ...}, "E312"),
        ({"slide": []}, "E312"),
        ({"slide": {"message-text": "x"}}, "E100"),
        ({"slide": [{"message-text": "x"}] * 9}, "E225"),
        ({"slide": [{}]}, "E313"),
        ({"slide": [{"message-text": "x" * 5001}]}, "E228"),
        ({"slide": [{"image": "https://media.example.com/a.jpg"}]}, "E100"),
        ({"slide": [{"image": {"url": "ftp://media.example.com/a.jpg"}}]}, "E351"),
        ({"slide": [VIDEO | AUDIO]}, "E226"),
        ({"slide": [VIDEO | IMAGE]}, "E227"),
        ({"slide": [CONTACT | PDF]}, "E223"),
        ({"slide": [CONTACT | IMAGE]}, "E224"),
        ({"slide": [CALENDAR | AUDIO]}, "E224"),
        ({"slide": [PDF | VIDEO]}, "E224"),
        ({"action": "savemms"}, "E311"),
        ({"action": "sendsavedmms"}, "E620"),
        ({"action": "sendsavedmms", "mms_id": "1"}, "E241"),
    ],
)
async def test_what_the_document_forbids_is_refused_with_its_code(
    desk: httpx.AsyncClient, fields: dict[str, Any], code: str
) -> None:
    response = await desk.post("/ep/v2/", json=sendmms(**{"service_id": "4711", **fields}))
    assert (200, "failure", code) == (
        response.status_code,
        response.json()["status"],
        response.json().get("error-code"),
    )


@pytest.mark.parametrize(
    "fields",
    [
        {"from": "78787", "from_mask": "m" * 50, "message_subject": "s" * 80, "client_reference": "c" * 64},
        {"fallback_sms_text": ..., "disable_fallback_sms": True},
        {"mms_expiry_timestamp": days_ahead(3), "fallback_sms_link_expiration": days_ahead(365)},
        {"slide": [{"message-text": "x" * 5000}] * 8},
        {"slide": [IMAGE | AUDIO | {"message-text": "x"}, VIDEO, CONTACT, CALENDAR, PDF]},
        {"action": "savemms", "name": "greeting", "to": ..., "from": ..., "service_id": ...},
    ],
)
async def test_what_the_document_allows_is_accepted(desk: httpx.AsyncClient, fields: dict[str, Any]) -> None:
    response = await desk.post("/ep/v2/", json=sendmms(**{"service_id": "4711", **fields}))
    assert "success" == response.json()["status"], response.text


@pytest.mark.parametrize(
    ("headers", "body", "code"),
    [
        ({"content-type": "text/plain"}, b"{}", "E100"),
        ({"content-type": "application/json; charset=utf-8"}, b"{", "E108"),
        ({"content-type": "application/json"}, b"[]", "E100"),
        ({"content-type": "application/json", "x-api-key": "wrong"}, b"{}", "E104"),
        ({"content-type": "application/json"}, b" " * (1 << 20) + b"{}", "E100"),
    ],
)
async def test_an_unusable_request_is_refused_in_the_same_manner(
    desk: httpx.AsyncClient, headers: dict[str, str], body: bytes, code: str
) -> None:
    response = await desk.post("/ep/v2/", content=body, headers=headers)
    assert (200, code) == (response.status_code, response.json()["error-code"])


async def _chunked(request: Request) -> Response:
    async def parts() -> AsyncIterator[bytes]:
        yield b"x"

    return StreamingResponse(parts(), media_type="image/png")


def _file(content_type: str, status: int = 200) -> Any:
    async def file(request: Request) -> Response:
        return Response(b"x", status, headers={"content-type": content_type})

    return file


MEDIA_HOST = Starlette(
    routes=[
        Route("/good.png", _file("image/png")),
        Route("/octet.png", _file("application/octet-stream")),
        Route("/octet.xyz", _file("application/octet-stream")),
        Route("/page.png", _file("text/html")),
        Route("/gone.png", _file("image/png", 404)),
        Route("/chunked", _chunked),
        Route("/card.vcf", _file("text/vcard")),
    ]
)


async def test_media_on_this_machine_is_fetched_under_the_carriers_rules(desk: httpx.AsyncClient) -> None:
    async with running(MEDIA_HOST) as host:
        cases = [
            ("image", f"{host}/good.png", None),
            ("image", f"{host}/octet.png", None),
            ("contact", f"{host}/card.vcf", None),
            ("image", "https://media.example.com/never-fetched.png", None),
            ("image", f"{host}/octet.xyz", "E351"),
            ("image", f"{host}/page.png", "E351"),
            ("image", f"{host}/gone.png", "E351"),
            ("image", f"{host}/chunked", "E351"),
            ("image", "http://127.0.0.1:9/down.png", "E351"),
            ("audio", f"{host}/good.png", "E352"),
            ("video", f"{host}/chunked", "E353"),
            ("contact", f"{host}/good.png", "E355"),
            ("calendar", f"{host}/good.png", "E356"),
            ("pdf", f"{host}/good.png", "E357"),
        ]
        requests = [sendmms(service_id="4711", slide=[{kind: {"url": url}}]) for kind, url, _ in cases]
        answers = [(await desk.post("/ep/v2/", json=request)).json() for request in requests]
    assert [code for _, _, code in cases] == [answer.get("error-code") for answer in answers]


async def test_an_inbound_mms_brings_its_text_as_a_file(customer: Customer) -> None:
    inbound = {
        "from": "+17745550001",
        "to": "+18885551234",
        "text": "Stop, please 🛑",
        "subject": "Question",
        "files": ["https://media.example.com/a.jpg"],
        "copy_to": ["17745550002"],
        "keyword": "STOP",
        "smil": True,
        "repeat": 2,
    }
    response = await customer.http.post("/practice/inbound", json=inbound)
    assert 202 == response.status_code
    assert [[200], [200]] == [
        [attempt["status"] for attempt in entry["tries"]] for entry in response.json()["data"]
    ]
    first, second = await customer.receiver.first(2)
    assert first == second
    [picture, text, smil] = [part["file"] for part in first.pop("content")]
    assert ("https://media.example.com/a.jpg", True) == (picture, smil.endswith(".smil"))
    file = await customer.http.get(text)
    assert ("Stop, please 🛑", "text/plain; charset=utf-8") == (file.text, file.headers["content-type"])
    assert len(file.content) == int(file.headers["content-length"])
    assert {
        "origin": "MMS_MO",
        "code": "N401",
        "from": "17745550001",
        "to": "18885551234",
        "keyword": "STOP",
        "operator-id": "31003",
        "message-subject": "Question",
        "copy-to": [{"number": "17745550002"}],
    } == {name: first[name] for name in first if name not in ("tracking-id", "timestamp")}


async def test_a_picture_for_inbound_messages_is_at_hand(desk: httpx.AsyncClient) -> None:
    picture = await desk.get("/practice/files/pixel.png")
    assert ("image/png", b"\x89PNG") == (picture.headers["content-type"], picture.content[:4])
    assert 404 == (await desk.get("/practice/files/forgotten.txt")).status_code
