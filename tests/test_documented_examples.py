"""The examples of the carriers' documents: what goes out on the wire, and what their answers become."""

import json
from datetime import UTC, datetime, timedelta
from itertools import combinations_with_replacement
from typing import Any
from urllib.parse import parse_qsl

import pytest
from starlette.responses import Response

from receiver.providers import PROVIDERS
from tests.support.installation import API_KEY, CHANNEL, THEM, US, installation
from tests.support.media import PNG
from tests.support.wire import wired

SWIFT_US, SWIFT_THEM = "+12003004000", "+12003004001"

#: the request of https://swift-sms-2-0-docs.pages.dev/api/messaging/mms as it stands there; its own table
#: forbids a body beside media
SWIFT_REQUEST = """{ "body": "Hello, World", "expires_at": "2024-06-14T00:00:00.000000Z",
"from": "12003004000", "id": "my-mms-message-2", "media": [ { "blob": "SGVsbG8sIFdvcmxk",
"content_type": "image/png", "id": "image", "type": "BLOB", "url": "https://example.com/path/to/image.png"
} ], "request_dlr": false, "to": [ "12003004001" ]}"""

#: the answers of that page as they stand there, each under its status
SWIFT_TAKEN = """{ "results": [ { "direction": "OUTBOUND", "error_code": "OK",
"expires_at": "2024-06-14T00:00:00.000000Z", "from": "12003004000", "id": "01JDQ11TSMA0SXCS4ZMEP5FVTP",
"origin_id": "my-mms-message-2", "schedule_at": "2024-06-14T00:00:00.000000Z", "status": "NEW",
"timestamp": "2024-06-14T00:00:00.000000Z", "to": "12003004001", "type": "MMS" } ]}"""
SWIFT_REFUSED = SWIFT_TAKEN.replace('"OK"', '"ACCOUNT_MMS_DISABLED"')

#: the answer of https://developers.sinch.com/docs/mms/api-reference/mms as it stands there
SINCH_TAKEN = """{ "status": "success", "to": "DESTINATION_PHONE_NUMBER",
"tracking-id": "UNIQUE-TRANSACTION-ID",
"status-details": "MMS request accepted and queued for processing and delivery." }"""


def answering(status: int, body: str) -> Any:
    return lambda _: Response(body, status, media_type="application/json")


@pytest.mark.parametrize("content", ["body", "media"])
async def test_swifts_request_goes_out_as_its_page_has_it_by_either_half(
    database_url: str, content: str
) -> None:
    ends = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%S.000000Z")
    example = json.loads(SWIFT_REQUEST) | {"expires_at": ends}
    channel = {"from": [SWIFT_US], "wire_reference": "client_reference"}
    async with wired(database_url, "swift", answering(200, SWIFT_TAKEN), **channel) as (home, wire):
        fields: dict[str, Any] = {"text": example["body"], "kind": "mms"}
        if content == "media":
            upload = await home.api.post("/v1/media", content=PNG, headers={"content-type": "image/png"})
            fields = {"text": None, "media": [{"id": upload.json()["id"]}]}
        fields |= {"expires_at": ends, "options": {"request_dlr": False}, "client_reference": example["id"]}
        sent = await home.send(SWIFT_THEM, **fields)
        await home.until(sent["id"], "queued", "unconfirmed")

    [call] = wire.sent
    assert ("POST", "/v1/mms", f"Bearer {API_KEY}") == (call.method, call.path, call.headers["authorization"])
    assert "application/json" == call.headers["content-type"]
    shared = {key: value for key, value in example.items() if key not in ("body", "media")}
    assert shared == {key: value for key, value in call.json.items() if key != content}
    if content == "body":
        assert example["body"] == call.json["body"]
    else:
        [file], [shown] = call.json["media"], example["media"]
        assert shown.keys() - {"url"} == file.keys()
        assert (shown["content_type"], shown["type"]) == (file["content_type"], file["type"])


@pytest.mark.parametrize(
    ("status", "body", "becomes", "error"),
    [
        (200, SWIFT_TAKEN, "queued", None),
        (422, SWIFT_REFUSED, "rejected", ("account_problem", "ACCOUNT_MMS_DISABLED")),
        (207, SWIFT_REFUSED, "rejected", ("account_problem", "ACCOUNT_MMS_DISABLED")),
    ],
)
async def test_swifts_answers_decide_by_their_error_code(
    database_url: str, status: int, body: str, becomes: str, error: tuple[str, str] | None
) -> None:
    async with wired(database_url, "swift", answering(status, body), **{"from": [SWIFT_US]}) as (home, _):
        sent = await home.send(SWIFT_THEM, kind="mms")
        message = await home.until(sent["id"], becomes)

    assert ["01JDQ11TSMA0SXCS4ZMEP5FVTP"] == message["provider_message_ids"]
    told = "2024-06-14T00:00:00.000Z" if becomes == "queued" else None
    assert (SWIFT_US, told, told) == (message["from"], message["send_at"], message["expires_at"])
    assert error == (message["error"] and (message["error"]["class"], message["error"]["code"]))


async def test_sinchs_answer_names_the_message_and_its_reports_find_it(database_url: str) -> None:
    report = {"origin": "MMS_MT", "code": "N102", "status": "Message Delivered"}
    async with wired(database_url, "sinch_mms", answering(200, SINCH_TAKEN)) as (home, wire):
        sent = await home.send(text="Grüße")
        queued = await home.until(sent["id"], "queued")
        await home.hook(json.dumps({**report, "tracking-id": "UNIQUE-TRANSACTION-ID"}).encode())
        message = await home.message(sent["id"])

    [event] = [event for event in queued["timeline"] if event["status"] == "queued"]
    assert "MMS request accepted and queued for processing and delivery." == event["provider_message"]
    assert ["UNIQUE-TRANSACTION-ID"] == message["provider_message_ids"]
    assert "delivered" == message["status"]
    [call] = wire.sent
    assert ("POST", "/ep/v2/") == (call.method, call.path)
    assert API_KEY == call.headers["x-api-key"]
    assert "application/json; charset=utf-8" == call.headers["content-type"]
    assert "Grüße" in call.body.decode("utf-8")


async def test_of_all_pairs_a_picture_and_a_sound_alone_share_a_slide_at_sinch(database_url: str) -> None:
    files = {
        "image": "png",
        "audio": "mp3",
        "video": "mp4",
        "contact": "vcf",
        "calendar": "ics",
        "pdf": "pdf",
    }
    taken = []
    async with installation(database_url, sender=False) as home:
        for pair in combinations_with_replacement(files, 2):
            slide = {"media": [{"url": f"https://media.example.com/a.{files[kind]}"} for kind in pair]}
            answer = await home.api.post("/v1/messages", json={"to": THEM, "slides": [slide]})
            if answer.status_code == 202:
                taken.append(pair)
            else:
                assert (422, "/slides/0/media") == (answer.status_code, answer.json()["errors"][0]["pointer"])

    assert [("image", "audio")] == taken


@pytest.mark.parametrize(
    ("pointer", "days"), [("/expires_at", 3), ("/options/fallback-sms-link-expiration", 365)]
)
async def test_sinchs_times_have_their_most(database_url: str, pointer: str, days: int) -> None:
    most = datetime.now(UTC) + timedelta(days=days)
    answers = []
    async with installation(database_url, sender=False) as home:
        for moment in (most - timedelta(minutes=1), most + timedelta(minutes=10)):
            *within, name = pointer.split("/")[1:]
            field: dict[str, Any] = {name: moment.strftime("%Y-%m-%dT%H:%M:%SZ")}
            body = {"to": THEM, "text": "Hi", "channel": CHANNEL} | ({"options": field} if within else field)
            answers.append(await home.api.post("/v1/messages", json=body))

    taken, refused = answers
    assert (202, 422) == (taken.status_code, refused.status_code)
    [error] = refused.json()["errors"]
    assert (pointer, f"sinch_mms takes at most {days} days from now") == (error["pointer"], error["detail"])


async def test_a_send_that_names_no_end_is_waited_for_as_long_as_sinch_goes_on_trying(
    database_url: str,
) -> None:
    async with wired(database_url, "sinch_mms", answering(200, SINCH_TAKEN)) as (home, wire):
        sent = await home.send()
        await home.until(sent["id"], "queued")

    [call] = wire.sent
    goes_on_trying = timedelta(days=3)
    assert "mms-expiry-timestamp" not in call.json
    assert goes_on_trying <= timedelta(seconds=PROVIDERS["sinch_mms"].report_window) <= goes_on_trying * 1.1


@pytest.mark.parametrize(
    ("path", "fields", "own"),
    [
        ("/v2/sms/", {}, {}),
        (
            "/v2/mms/",
            {"media": [{"url": "https://media.example.com/cat.jpg?a=1&b=2"}], "subject": "s" * 40},
            {"mmsURL": "https://media.example.com/cat.jpg?a=1&b=2", "mmsSubject": "s" * 40},
        ),
    ],
)
async def test_voicetels_properties_are_the_fields_of_the_form(
    database_url: str, path: str, fields: dict[str, Any], own: dict[str, str]
) -> None:
    taken = answering(200, '{"status": "Success", "Message": "Accepted for delivery"}')
    keys = {"expects_reports": True, "media_check": "off"}  # there is no such file
    async with wired(database_url, "voicetel", taken, **keys) as (home, wire):
        sent = await home.send(text="x" * 160, **fields)
        message = await home.until(sent["id"], "queued")

    [call] = wire.sent
    legend = {"apikey": API_KEY, "destination": THEM[2:], "source": US[2:], "messageText": "x" * 160}
    assert ("POST", path) == (call.method, call.path)
    assert legend | own == dict(parse_qsl(call.body.decode(), strict_parsing=True))
    assert "Accepted for delivery" in [event["provider_message"] for event in message["timeline"]]
