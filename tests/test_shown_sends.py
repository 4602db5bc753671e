"""A message shows the wishes of its send, and the content that went out, wherever it is read."""

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.support.installation import CHANNEL, Installation, installation

IMAGE = "https://example.com/map.png"
OURS: dict[str, Any] = {"from": ["+18885551234"]}


async def everywhere(installed: Installation, message: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns *message* as each route shows it that shows messages."""
    alone = await installed.message(message["id"])
    listed = (await installed.api.get("/v1/messages")).json()["data"]
    in_conversation = await installed.api.get(f"/v1/conversations/{message['conversation_id']}/messages")
    found = await installed.api.post("/v1/messages/lookup", json={"ids": [message["id"]]})
    return [message, alone, *listed, *in_conversation.json()["data"], *found.json()["data"]]


async def test_a_message_shows_its_expiry_its_options_and_its_fallback(database_url: str) -> None:
    ends = (datetime.now(UTC) + timedelta(days=1)).replace(microsecond=0)
    asked: dict[str, Any] = {
        "expires_at": ends.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        "options": {"from-mask": "Postback", "disable-fallback-sms-link": True},
        "fallback_text": "A picture waits for you.",
    }
    async with installation(database_url, sender=False, **OURS) as installed:
        message = await installed.send(media=[{"url": IMAGE}], **asked)
        shown = await everywhere(installed, message)

    assert [asked] * 5 == [{key: one[key] for key in asked} for one in shown]


async def test_a_message_without_them_shows_that_there_are_none(database_url: str) -> None:
    async with installation(database_url, sender=False, **OURS) as installed:
        message = await installed.send()
        shown = await everywhere(installed, message)

    assert [(None, {}, None)] * 5 == [(o["expires_at"], o["options"], o["fallback_text"]) for o in shown]


async def test_a_redacted_message_shows_neither_options_nor_fallback(database_url: str) -> None:
    async with installation(database_url, sender=False, **OURS) as installed:
        asked: dict[str, Any] = {
            "options": {"to-displayonly": "12065550188"},
            "fallback_text": "A picture for Ann.",
        }
        message = await installed.send(channel=CHANNEL, **asked)
        await installed.api.post(f"/v1/messages/{message['id']}/cancel")
        answer = await installed.api.post(f"/v1/messages/{message['id']}/redact")
        redacted = await installed.message(message["id"])

    assert 200 == answer.status_code, answer.text
    assert ({}, None) == (redacted["options"], redacted["fallback_text"])
