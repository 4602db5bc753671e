"""The channels as sources of events: all that is known of an event by the channel that it came from. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from receiver.config import ChannelSettings
from receiver.our_numbers import OurNumbers, nameless, numbers
from receiver.providers.base import Provider


@dataclass(frozen=True, slots=True)
class Source:
    """Where events come from: a channel, and what is known of all that comes from it.

    *our_number* is what an inbound message was written to where nothing else tells; *others* are the numbers
    that only other channels list. A carrier that echoes nothing has its reports matched by numbers,
    *guess_within* that time of the send; *guess_calling* where its answers name no message either.
    *app_references*: what comes back may be the app's own reference, which several messages may have.
    """

    channel: str
    provider: str
    our_number: str
    guess_within: timedelta | None = None
    guess_calling: bool = False
    others: frozenset[str] = frozenset()
    app_references: bool = False


def sources(
    channels: Mapping[str, ChannelSettings], providers: Mapping[str, Provider]
) -> Mapping[str, Source]:
    """Returns what is known of the events of each of *channels*, by its name."""
    ours = OurNumbers(channels, providers)
    return {
        name: _source(channel, providers[channel.provider], ours.others(name))
        for name, channel in channels.items()
    }


def _source(channel: ChannelSettings, provider: Provider, others: frozenset[str]) -> Source:
    return Source(
        channel=channel.name,
        provider=provider.name,
        our_number=next(iter(numbers(channel)), nameless(channel.name)),
        others=others,
        guess_within=None
        if provider.echoes_reference
        else timedelta(seconds=channel.report_window or provider.report_window),
        guess_calling=not provider.gives_ids,
        app_references=channel.sends_app_reference,
    )
