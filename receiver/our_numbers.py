"""Our numbers, by the channels that list them in ``from``: the one place that tells whose a number is. Pure.

A number that several channels list is shared by them, and one that no channel lists is open to all. A number
that only other channels list is foreign: to a channel's door, where it is written to, and to an API key that
is bound to channels. The ways in which one number is written are one number.
"""

from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from models.optout import EVERY_NUMBER
from receiver import phone
from receiver.config import ChannelSettings
from receiver.providers.base import Provider

_NAMED = "channel:"


def numbers(channel: ChannelSettings) -> list[str]:
    """Returns the channel's own numbers, as messages hold them."""
    return [phone.international(number) for number in channel.numbers]


def nameless(channel: str) -> str:
    """Returns what stands for our number in messages of *channel* that were written to none of its own."""
    return _NAMED + channel


def is_nameless(number: str) -> bool:
    """Whether *number* stands for a number that nobody knows, as `nameless` makes it."""
    return number.startswith(_NAMED)


def canonical(number: str) -> str:
    """Returns the one form of *number* by which numbers are compared; of a name, its lower-case letters."""
    return phone.spelling(phone.international(number)).casefold()


def is_foreign(number: str, others: Collection[str]) -> bool:
    """Whether *number* is foreign to a channel, of which *others* are `OurNumbers.others`.

    So is what no carrier can name: the sign for all our numbers, and those for the unknown ones of a channel.
    """
    compared = canonical(number)
    return compared in others or compared == EVERY_NUMBER or is_nameless(compared)


@dataclass(frozen=True, slots=True)
class Sight:
    """What a key for *channels* may see by our number: *listed* are the numbers that its channels list and no
    other does, *closed* those that some other lists."""

    channels: frozenset[str]
    listed: frozenset[str]
    closed: frozenset[str]


class OurNumbers:
    """The numbers of all *channels*; *providers* tell in which region a channel's own are written."""

    def __init__(self, channels: Mapping[str, ChannelSettings], providers: Mapping[str, Provider]) -> None:
        self._channels = frozenset(channels)
        self._owners: dict[str, set[str]] = {}
        self._written: dict[str, set[str]] = {}
        for name, channel in channels.items():
            self._written[name] = written = set(_written(channel, providers.get(channel.provider)))
            for number in written:
                self._owners.setdefault(canonical(number), set()).add(name)

    def owners(self, number: str | None) -> frozenset[str]:
        """Returns the names of the channels that list *number*."""
        return frozenset(self._owners.get(canonical(number), ()) if number is not None else ())

    def closed_to(self, number: str, channels: frozenset[str] | None) -> bool:
        """Whether *number* is foreign to a key for *channels*, None for all: only others list it."""
        owners = self.owners(number)
        return channels is not None and bool(owners) and owners.isdisjoint(channels)

    def others(self, channel: str) -> frozenset[str]:
        """Returns the numbers that are foreign to *channel*, in their canonical form."""
        return frozenset(number for number, owners in self._owners.items() if channel not in owners)

    def sight(self, channels: frozenset[str] | None) -> Sight | None:
        """Returns what a key for *channels* may see, None where that is everything."""
        if channels is None:
            return None
        closed = self._spelt(self._channels - channels)
        return Sight(channels, self._spelt(self._channels & channels) - closed, closed)

    def _spelt(self, channels: Iterable[str]) -> frozenset[str]:
        """Returns all that stands for a number of *channels* in conversations."""
        return frozenset(
            spelt
            for name in channels
            for number in (*self._written[name], nameless(name))
            for spelt in phone.spellings(number)
        )


def _written(channel: ChannelSettings, provider: Provider | None) -> Iterable[str]:
    """Returns the channel's numbers as any of its messages may hold them: some carriers' numbers are read as
    they are written in a region."""
    yield from numbers(channel)
    region = channel.default_region or (provider.region if provider else None)
    if region is not None:
        for number in channel.numbers:
            with suppress(phone.InvalidNumber):
                yield phone.sender(number, region)
