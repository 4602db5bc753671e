"""Whether somebody who wrote can be answered, and how: one decision, for what is shown and what is sent."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from uuid import UUID

from models.sends import Submission
from receiver import phone, routing
from receiver.config import ChannelSettings, Settings
from receiver.our_numbers import OurNumbers, is_nameless, numbers
from receiver.problems import Code, FieldError, Problem
from receiver.providers.base import Provider

#: stands in for a reply whose words are not known yet
_ANY = UUID(int=0)


@dataclass(frozen=True, slots=True)
class Way:
    """How a reply goes: the channel's name, and our number, None where the carrier chooses it."""

    channel: str
    sender: str | None


class Replies:
    def __init__(self, settings: Settings, providers: Mapping[str, Provider]) -> None:
        self._settings, self._providers = settings, providers
        self._ours = OurNumbers(settings.channels, providers)

    def refusal(self, our_number: str | None, contact: str | None, last: str | None) -> str | None:
        """Returns why a text would be refused that answers what came in on the channel *last*, whatever it
        says; None where it would be taken."""
        try:
            self.way(our_number, contact, last)
        except Problem as problem:
            return problem.detail
        return None

    def way(
        self,
        our_number: str | None,
        contact: str | None,
        last: str | None,
        *,
        kind: str = "sms",
        channels: Collection[str] | None = None,
    ) -> Way:
        """Returns how a reply of *kind* goes from *our_number* to *contact*. Raises ``Problem``.

        It goes on the channel *last* if that one lists our number, else on another that does; where none
        does, on *last*. *channels* are those that the caller may use, None for all.
        """
        if contact is None:
            raise _refused(Code.INVALID_NUMBER, "The carrier did not say who wrote.")
        if phone.is_name(contact):
            raise _refused(Code.INVALID_NUMBER, f"{contact} is a name; nobody can write to a name.")
        sender = None if our_number is None or is_nameless(our_number) else our_number
        channel = self._channel(sender, contact, last, kind, channels)
        self._hold(channel, sender, contact)
        return Way(channel.name, sender)

    def _channel(
        self,
        sender: str | None,
        contact: str,
        last: str | None,
        kind: str,
        channels: Collection[str] | None,
    ) -> ChannelSettings:
        usable = {
            name: channel
            for name, channel in self._settings.channels.items()
            if channels is None or name in channels
        }
        listing = self._ours.owners(sender)
        owners = {name: channel for name, channel in usable.items() if name in listing}
        if last in (owners if listing else usable):
            return usable[last]
        if not owners:
            gone = sender or f"the channel {last!r}"
            raise _refused(Code.UNKNOWN_CHANNEL, f"No channel is configured any more for {gone}.")
        try:
            criteria = routing.Criteria(kind, sender=sender, recipient=contact)
            return routing.choose(owners, self._providers, self._ours, criteria)
        except Problem as problem:
            raise _refused(problem.code, problem.detail) from None

    def _hold(self, channel: ChannelSettings, sender: str | None, contact: str) -> None:
        """Holds both numbers against what the channel's carrier takes. Raises ``Problem``."""
        provider = self._providers[channel.provider]
        try:
            routing.hold(channel, self._providers)
        except Problem as problem:
            raise _refused(problem.code, problem.detail) from None
        try:
            number = phone.parse(contact, routing.region(channel, provider, self._settings.default_region))
            if sender is not None:
                sender = phone.sender(sender, self._settings.default_region)
        except phone.InvalidNumber as error:
            raise _refused(Code.INVALID_NUMBER, f"A number of the conversation {error}.") from None
        probe = Submission(
            _ANY,
            "send",
            sender or next(iter(numbers(channel)), None),
            number,
            text="Hello",
            kind="mms" if provider.kinds == {"mms"} else "sms",
        )
        for broken in provider.check(probe, channel):
            if broken.pointer in ("/from", "/to"):
                short = f"{number} is a short code: " if phone.is_short_code(number) else ""
                raise _refused(broken.code, f"{short}{broken.detail}.")


def _refused(code: Code | str, reason: str) -> Problem:
    return Problem(code, reason, errors=[FieldError(pointer="", detail=reason)])
