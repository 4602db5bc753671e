"""Recipients of a send: each person once, in the order in which they are first named."""

from typing import Any

import pytest

from tests.support.installation import THEM, Installation, installation

OTHER = "+12065550188"
MEXICAN, WITH_A_1 = "+525512345678", "+5215512345678"


async def sent(home: Installation, to: list[str], **fields: Any) -> list[dict[str, Any]]:
    answer = await home.api.post("/v1/messages", json={"to": to, "text": "Hello", **fields})
    assert 202 == answer.status_code, answer.text
    messages: list[dict[str, Any]] = answer.json()["data"]
    return messages


async def numbers_on_the_wire(home: Installation) -> list[str]:
    """Returns the recipients that the carrier was told, in all calls together."""
    found: list[str] = []
    for entry in await home.journal():
        to = entry["body"]["to"]
        found += [to] if isinstance(to, str) else to
    return found


@pytest.mark.parametrize("provider", ["sinch_mms", "sinch_sms", "swift"])
async def test_who_is_named_twice_gets_one_message_and_is_named_once_on_the_wire(
    database_url: str, provider: str
) -> None:
    async with installation(database_url, provider) as home:
        messages = await sent(home, [OTHER, THEM, "(206) 555-0123", OTHER, "1 206 555 0188"])
        for message in messages:
            await home.until(message["id"], "queued", "sent", "delivered")

        assert [OTHER, THEM] == [message["to"] for message in messages]
        assert [OTHER[1:], THEM[1:]] == sorted(await numbers_on_the_wire(home), reverse=True)
        assert 2 == len(await home.listed(2, direction="outbound"))


async def test_the_spellings_of_one_line_are_one_person_as_they_are_written_first(database_url: str) -> None:
    async with installation(database_url, "sinch_sms", sender=False) as home:
        messages = await sent(home, [WITH_A_1, MEXICAN, "+52 1 55 1234 5678"])

        assert [WITH_A_1] == [message["to"] for message in messages]


async def test_a_repeat_of_a_send_to_somebody_named_twice_is_answered_with_the_same(
    database_url: str,
) -> None:
    async with installation(database_url, sender=False) as home:
        body = {"to": [THEM, THEM], "text": "Hello"}
        first, again = [
            await home.api.post("/v1/messages", json=body, headers={"Idempotency-Key": "twice"})
            for _ in range(2)
        ]

        assert first.json() == again.json()
        assert "true" == again.headers["idempotency-replayed"]


async def test_what_is_wrong_with_a_recipient_points_to_where_they_stand(database_url: str) -> None:
    async with installation(database_url, sender=False) as home:
        answer = await home.api.post(
            "/v1/messages", json={"to": [THEM, THEM, "28444", "28444"], "text": "Hello"}
        )

        assert 422 == answer.status_code
        assert ["/to/2"] == [error["pointer"] for error in answer.json()["errors"]]
