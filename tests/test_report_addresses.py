"""Where a carrier reports to is the operator's to say, and no sender's."""

from typing import Any

import orjson
import pytest

from postback import practice
from receiver.config import ChannelSettings
from receiver.providers import PROVIDERS
from tests.support.cases import NAMES, channel_of, submission_of
from tests.support.receiver import running

ELSEWHERE = "https://elsewhere.example.com/reports"
TOKEN = "a-token-of-tests"
SINCH = "sinch_sms"
#: what carriers call, or might call, the address of a send's reports
OPTIONS = (
    "callback_url",
    "callbackUrl",
    "callback-url",
    "notify_url",
    "webhook_url",
    "status_callback",
    "dlr_url",
)


@pytest.mark.parametrize("name", NAMES)
async def test_a_send_cannot_say_where_its_reports_go(name: str, database_url: str) -> None:
    channel = channel_of(name).model_dump(by_alias=True, exclude_defaults=True, exclude={"name"})
    to = "+61400000001" if name.startswith("cellcast") else "+12065550123"
    async with running(database_url, {"us": {**channel, "from": []}}) as receiver:
        for option in OPTIONS:
            send: dict[str, Any] = {"to": to, "channel": "us", "text": "Hi", "options": {option: ELSEWHERE}}
            answer = await receiver.client.post(
                f"{receiver.url}/v1/messages", json=send, headers={"Authorization": f"Bearer {receiver.key}"}
            )
            refused = answer.json()

            assert 422 == answer.status_code, refused
            assert f"/options/{option}" in [error["pointer"] for error in refused["errors"]]
            assert ELSEWHERE not in answer.text
            if (name, option) == (SINCH, "callback_url"):
                assert "channels.us.callback_url" in answer.text


def test_a_send_that_was_queued_with_such_an_option_goes_out_without_it() -> None:
    # earlier versions took it, and their sends may wait for three days
    options = {"callback_url": ELSEWHERE, "flash_message": True}

    assert {"flash_message"} == {"callback_url", "flash_message"} & set(sent(channel_of(SINCH), options))


def test_a_channel_that_reports_elsewhere_is_still_one_of_the_practice_carrier() -> None:
    keys = {"service_plan_id": "p", "api_token": "t", "base_url": "http://127.0.0.1:8090"}
    channel = ChannelSettings.model_validate(
        {"name": "us", "provider": SINCH, "tokens": [TOKEN], **keys, "callback_url": ELSEWHERE}
    )

    assert ["http://127.0.0.1:8090"] == PROVIDERS[SINCH].addresses(channel)
    assert practice.leads_to(channel, "http://127.0.0.1:8090")
    assert ELSEWHERE == sent(channel, {})["callback_url"]


def sent(channel: ChannelSettings, options: dict[str, Any]) -> dict[str, Any]:
    """The fields of the call that a send with *options* makes."""
    said = {"sender": "+18885551234", "recipient": "+12065550123", "kind": "sms", "text": "Hi"}
    call = PROVIDERS[SINCH].call(submission_of({**said, "options": options}), channel)
    fields: dict[str, Any] = orjson.loads(call.body)
    return fields
