"""The slides of a Sinch MMS, as the send says and as the carrier gets it."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from receiver.providers.sinch_mms_slides import LONGEST_TEXT, SLIDES_PER_MESSAGE
from tests.support.installation import CHANNEL, THEM, US, Installation, installation

#: the payload of https://developers.sinch.com/docs/mms/api-reference/mms as it stands there
DOCUMENTED = """{
"action": "sendmms",
"service-id": "YOUR_CAMPAIGN_ID",
"to": "RECIPIENT_PHONE_NUMBER_WITH_COUNTRY_CODE",
"from": "YOUR_PHONE_NUMBER",
"from-mask": "YOUR_MASK",
"message-subject": "YOUR_SUBJECT_TEXT",
"fallback-sms-text": "TEXT_OF_FALLBACK_SMS",
"disable-fallback-sms-link": false,
"disable-fallback-sms": false,
"fallback-sms-link-expiration": "EXPIRATION_DATE_UTC",
"mms-expiry-timestamp": "ISO8601_DATE_FORMAT",
"client-reference": "CLIENT_SUPPLIED_IDENTIFIER",
"cache-content": true,
"slide": [
{
"image": {
"url": "{Image URL}"
},
"message-text": "{Slide message text}"
},
{
"audio": {
"url": "{Audio URL}"
},
"message-text": "{Slide message text}"
},
{
"video": {
"url": "{Video URL}"
},
"message-text": "{Slide message text}"
},
{
"contact": {
"url": "{Contact URL}"
},
"message-text": "{Slide message text}"
},
{
"calendar": {
"url": "{PDF URL}"
},
"message-text": "{Slide message text}"
},
{
"pdf": {
"url": "{PDF URL}"
},
"message-text": "{Slide message text}"
}
]
}"""

FILES = "https://media.example.com"
KINDS = {"image": "a.png", "audio": "b.mp3", "video": "c.mp4", "contact": "d.vcf", "calendar": "e.ics"}
KINDS |= {"pdf": "f.pdf"}
PICTURE, SOUND, FILM = ({"url": f"{FILES}/{KINDS[kind]}"} for kind in ("image", "audio", "video"))


@pytest.fixture
async def home(database_url: str) -> AsyncIterator[Installation]:
    keys: dict[str, Any] = {"service_id": "YOUR_CAMPAIGN_ID", "wire_reference": "client_reference"}
    async with installation(database_url, **keys) as made:
        yield made


async def on_the_wire(home: Installation, **fields: Any) -> dict[str, Any]:
    """Returns the call that the carrier is sent for *fields*, a send without a text of its own."""
    sent = await home.send(**{"text": None, **fields})
    await home.until(sent["id"], "queued", "sent", "delivered")
    [entry] = await home.journal()
    body: dict[str, Any] = entry["body"]
    return body


async def refusal(home: Installation, **fields: Any) -> tuple[str, str, str]:
    answer = await home.api.post("/v1/messages", json={"to": THEM, **fields})
    assert 422 == answer.status_code, answer.text
    [error] = answer.json()["errors"]
    return answer.json()["code"], error["pointer"], error["detail"]


async def test_the_example_of_the_carriers_page_goes_out_as_it_stands_there(home: Installation) -> None:
    ends, link_ends = (
        (datetime.now(UTC) + timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ") for days in (2, 200)
    )
    example = json.loads(DOCUMENTED)
    for slide, (kind, file) in zip(example["slide"], KINDS.items(), strict=True):
        slide[kind] = {"url": f"{FILES}/{file}"}
    example |= {"to": THEM[1:], "from": US[1:]}
    example |= {"fallback-sms-link-expiration": link_ends, "mms-expiry-timestamp": ends}

    made = await on_the_wire(
        home,
        subject="YOUR_SUBJECT_TEXT",
        fallback_text="TEXT_OF_FALLBACK_SMS",
        expires_at=ends,
        client_reference="CLIENT_SUPPLIED_IDENTIFIER",
        options={
            "from-mask": "YOUR_MASK",
            "disable-fallback-sms-link": False,
            "disable-fallback-sms": False,
            "fallback-sms-link-expiration": link_ends,
            "cache-content": True,
        },
        slides=[
            {"media": [{"url": f"{FILES}/{file}"}], "text": "{Slide message text}"} for file in KINDS.values()
        ],
    )

    assert example == made


async def test_a_text_beside_a_file_stands_on_the_slide_of_that_file(home: Installation) -> None:
    body = await on_the_wire(home, media=[PICTURE | {"text": "One"}, SOUND, FILM | {"text": "Three"}])

    assert [
        {"image": PICTURE, "message-text": "One"},
        {"audio": SOUND},
        {"video": FILM, "message-text": "Three"},
    ] == body["slide"]


async def test_the_text_of_the_message_stands_before_a_first_file_that_has_its_own(
    home: Installation,
) -> None:
    body = await on_the_wire(home, text="Hello", media=[PICTURE | {"text": "One"}])

    assert [{"message-text": "Hello"}, {"image": PICTURE, "message-text": "One"}] == body["slide"]


async def test_the_text_of_the_message_stands_on_a_first_file_that_has_none(home: Installation) -> None:
    body = await on_the_wire(home, text="Hello", media=[PICTURE, FILM | {"text": "Two"}])

    assert [
        {"image": PICTURE, "message-text": "Hello"},
        {"video": FILM, "message-text": "Two"},
    ] == body["slide"]


async def test_slides_say_what_stands_together(home: Installation) -> None:
    slides = [{"text": "Words"}, {"media": [SOUND, PICTURE], "text": "Both"}, {"media": [FILM]}]
    body = await on_the_wire(home, slides=slides)

    assert [
        {"message-text": "Words"},
        {"image": PICTURE, "audio": SOUND, "message-text": "Both"},
        {"video": FILM},
    ] == body["slide"]


async def test_a_message_shows_its_slides_until_it_is_redacted(home: Installation) -> None:
    sent = await home.send(text=None, slides=[{"text": "Words"}, {"media": [PICTURE], "text": "One"}])
    [file] = sent["media"]
    await home.until(sent["id"], "delivered")
    redacted = (await home.api.post(f"/v1/messages/{sent['id']}/redact")).json()
    plain = await home.send()

    assert ("mms", None) == (sent["kind"], sent["text"])
    assert [{"media": [], "text": "Words"}, {"media": [file["id"]], "text": "One"}] == sent["slides"]
    assert "slides" not in redacted | plain


async def test_a_reply_may_have_slides(home: Installation) -> None:
    conversation = (await home.send())["conversation_id"]
    answer = await home.api.post(
        f"/v1/conversations/{conversation}/messages", json={"slides": [{"text": "A"}, {"text": "B"}]}
    )

    assert 202 == answer.status_code, answer.text
    await home.until(answer.json()["data"][0]["id"], "delivered")
    assert [{"message-text": "A"}, {"message-text": "B"}] == (await home.journal())[-1]["body"]["slide"]


async def test_a_stored_message_keeps_its_slides(home: Installation) -> None:
    template = {"channel": CHANNEL, "name": "tour", "slides": [{"text": "A"}, {"media": [SOUND, PICTURE]}]}
    answer = await home.api.post("/v1/templates", json=template)
    assert 201 == answer.status_code, answer.text
    sent = await home.send(text=None, template_id=answer.json()["id"])
    await home.until(sent["id"], "delivered")

    saved = next(entry["body"] for entry in await home.journal() if entry["body"]["action"] == "savemms")
    assert [{"message-text": "A"}, {"image": PICTURE, "audio": SOUND}] == saved["slide"]
    assert [{"media": [], "text": "A"}, {"media": [0, 1], "text": None}] == answer.json()["slides"]


@pytest.mark.parametrize(
    ("fields", "code", "pointer", "detail"),
    [
        (
            {"slides": [{"text": "x" * (LONGEST_TEXT + 1)}]},
            "content_too_large",
            "/slides/0/text",
            "at most 5000 characters",
        ),
        (
            {"media": [PICTURE, FILM | {"text": "x" * (LONGEST_TEXT + 1)}]},
            "content_too_large",
            "/media/1/text",
            "at most 5000 characters",
        ),
        (
            {"slides": [{"text": "A"}] * (SLIDES_PER_MESSAGE + 1)},
            "content_too_large",
            "/slides",
            "at most 8 slides; this message has 9",
        ),
        (
            {"text": "Hello", "media": [FILM | {"text": "A"}] * SLIDES_PER_MESSAGE},
            "content_too_large",
            "/media",
            "at most 8 slides; this message has 9",
        ),
        ({"slides": [{"media": [PICTURE, FILM]}]}, "invalid_field", "/slides/0/media", "image and video"),
        ({"slides": [{"media": [PICTURE, PICTURE]}]}, "invalid_field", "/slides/0/media", "image and image"),
        (
            {"slides": [{}, {"media": [{"url": f"{FILES}/a.bmp"}]}]},
            "invalid_field",
            "/slides/0",
            "a file or a text",
        ),
        (
            {"slides": [{"text": "A"}, {"media": [PICTURE, {"url": f"{FILES}/a.bmp"}]}]},
            "media_error",
            "/slides/1/media/1/url",
            "none of them",
        ),
        ({"slides": [{"text": "A"}], "text": "B"}, "invalid_field", "/text", "onto one of"),
        ({"slides": [{"text": "A"}], "media": [PICTURE]}, "invalid_field", "/media", "onto one of"),
        ({"slides": [{"media": [PICTURE | {"text": "A"}]}]}, "unknown_field", "/slides/0/media/0/text", ""),
        ({"slides": [{"media": [PICTURE] * 51}] * 2}, "invalid_field", "/slides", "102 files in all"),
    ],
)  # fmt: skip
async def test_what_no_slide_can_hold_is_refused(
    home: Installation, fields: dict[str, Any], code: str, pointer: str, detail: str
) -> None:
    actual = await refusal(home, **fields)

    assert (code, pointer) == actual[:2]
    assert detail in actual[2]
    assert [] == await home.journal()


async def test_slides_of_the_most_that_may_be_go_out(home: Installation) -> None:
    texts = ["x" * LONGEST_TEXT, *"abcdefg"]
    body = await on_the_wire(home, slides=[{"text": text} for text in texts])

    assert SLIDES_PER_MESSAGE == len(texts)
    assert [{"message-text": text} for text in texts] == body["slide"]


@pytest.mark.parametrize("provider", ["sinch_sms", "swift", "voicetel"])
async def test_a_carrier_without_slides_takes_none(database_url: str, provider: str) -> None:
    async with installation(database_url, provider, sender=False) as home:
        named = await refusal(home, slides=[{"media": [PICTURE], "text": "A"}])
        beside = await refusal(home, media=[PICTURE | {"text": "A"}])

    assert ("channel_cannot", "/slides", f"{provider} has no slides") == named
    assert ("channel_cannot", "/media/0/text", f"{provider} has no slides") == beside
