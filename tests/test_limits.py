"""A send held against its carrier's limits: the content once, and each recipient."""

from dataclasses import replace
from typing import Any

import pytest
from uuid_utils.compat import uuid7

from models.sends import Problem as Broken
from models.sends import Submission
from receiver import limits
from receiver.config import ChannelSettings
from receiver.problems import Problem
from receiver.providers.cellcast import Cellcast

CHANNEL = ChannelSettings.model_validate(
    {"name": "cellcast", "provider": "cellcast", "tokens": ["a-token-of-tests"]}
)


class Counting(Cellcast):
    checked = 0

    def check(self, submission: Submission, channel: ChannelSettings) -> list[Broken]:
        self.checked += 1
        return super().check(submission, channel)


def copies(*recipients: str, **fields: Any) -> list[Submission]:
    common = Submission(id=uuid7(), action="send", sender=None, recipient=None, kind="sms", **fields)
    return [replace(common, recipient=recipient) for recipient in recipients]


def test_a_text_to_a_thousand_people_is_checked_once() -> None:
    provider = Counting()
    limits.hold(provider, CHANNEL, *copies(*(f"+61412345{n:03}" for n in range(1000)), text="Straße " * 100))

    assert 1 == provider.checked


def test_every_recipient_that_cannot_be_reached_is_named_beside_what_is_wrong_with_the_text() -> None:
    with pytest.raises(Problem) as raised:
        limits.hold(Counting(), CHANNEL, *copies("+12065550100", "+61412345678", "+61212345678", text=""))

    assert ["/text", "/to/0", "/to/2"] == [error.pointer for error in raised.value.errors]
