"""Confirmations of opt-outs: a channel's own text to whoever opts out on it, where it has one.

Which opt-out is confirmed, and what becomes of it, is ``receiver/sql/confirmations.sql``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from uuid_utils.compat import uuid7

from models.sends import Submission
from receiver.config import ChannelSettings, Settings
from receiver.our_numbers import numbers
from receiver.providers import PROVIDERS
from receiver.providers.base import Provider
from receiver.rows import ConfirmationRow, new_id

#: after the opt-out; what comes later than this is, in the USA, one more text to somebody who said stop
WITHIN = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Confirmation:
    """What *channel* says to whoever opts out on it."""

    channel: ChannelSettings
    provider: Provider

    def row(self, contact: str, at: datetime) -> ConfirmationRow | None:
        """To *contact*, who opted out *at*; None where the carrier takes no message to such a number. Our
        number is not certain before the opt-out is stored."""
        submission = replace(_submission(self.channel, self.provider), recipient=contact)
        if self.provider.check_recipient(submission, self.channel):
            return None
        return ConfirmationRow(
            id=new_id(),
            kind=submission.kind,
            text=self.channel.opt_out_reply,
            numbers=numbers(self.channel),
            expires_at=at + WITHIN,
        )


def configured(settings: Settings) -> Mapping[str, Confirmation]:
    """By the names of the channels that confirm."""
    return {
        name: Confirmation(channel, PROVIDERS[channel.provider])
        for name, channel in settings.channels.items()
        if channel.opt_out_reply and channel.provider in PROVIDERS
    }


def misconfigured(channel: ChannelSettings, provider: Provider) -> str | None:
    """Why *channel* could not send its confirmation, in a sentence that names the key; None if it could."""
    if not channel.opt_out_reply:
        return None
    if not channel.numbers:
        return (
            'opt_out_reply needs the list "from": it is sent from that of our numbers which was written to.'
        )
    for problem in provider.check(_submission(channel, provider), channel):
        if problem.pointer != "/to":
            return f"opt_out_reply cannot be sent: {problem.pointer}: {problem.detail}."
    return None


def _submission(channel: ChannelSettings, provider: Provider) -> Submission:
    return Submission(
        id=uuid7(),
        action="send",
        sender=next(iter(numbers(channel)), None),
        recipient=None,
        text=channel.opt_out_reply,
        kind="sms" if "sms" in provider.kinds else "mms",
    )
