"""Which channel a send takes: the one it names, else its sender's, else the one of the recipient's region."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from receiver import phone, sendable
from receiver.config import ChannelSettings
from receiver.our_numbers import OurNumbers, numbers
from receiver.problems import invalid
from receiver.providers.base import Provider


@dataclass(frozen=True, slots=True)
class Criteria:
    """A send as far as its channel depends on it: *name* is the channel's, *kind* is ``sms`` or ``mms``.
    Unless it is to be *exactly* that, a text goes as an MMS where a carrier has nothing else."""

    kind: str
    name: str | None = None
    sender: str | None = None
    recipient: str | None = None
    exactly: bool = False


def choose(
    channels: Mapping[str, ChannelSettings],
    providers: Mapping[str, Provider],
    ours: OurNumbers,
    criteria: Criteria,
) -> ChannelSettings:
    """Returns the channel, of *channels*, for a send by *criteria*. Raises ``Problem``.

    A send from a number that some of them list goes on one of those, unless another one is named.
    """
    name, sender, kind, exactly = criteria.name, criteria.sender, criteria.kind, criteria.exactly
    if name is not None:
        chosen = channels.get(name)
        if chosen is None:
            raise invalid(
                "/channel", f"There is no channel {name!r}; there are {_list(channels)}.", "unknown_channel"
            )
        if kind not in _carried(providers[chosen.provider], exactly=exactly):
            lacking = "MMS: no media and no subject" if kind == "mms" else "SMS"
            raise invalid("/channel", f"The channel {name!r} carries no {lacking}.", "channel_cannot")
        return chosen
    able = [c for c in channels.values() if kind in _carried(providers[c.provider], exactly=exactly)]
    owners = ours.owners(sender) & channels.keys()
    candidates = [c for c in able if c.name in owners] if owners else able
    if len(candidates) > 1 and criteria.recipient is not None:
        here = phone.region(criteria.recipient)
        candidates = [c for c in candidates if here in _regions(c)] or candidates
    if len(candidates) == 1:
        return candidates[0]
    if not candidates and owners:
        raise invalid(
            "/from", f"{_list(owners)} lists {sender}, and carries no {kind.upper()}.", "channel_cannot"
        )
    if not candidates:
        raise invalid("/channel", f"No channel carries {kind.upper()}; configure one.", "channel_cannot")
    raise invalid(
        "/channel",
        f"Several channels could carry this: {_list(c.name for c in candidates)}. Name one in `channel`, or "
        "one of its numbers in `from`.",
        "ambiguous_channel",
    )


def able(
    channels: Mapping[str, ChannelSettings],
    providers: Mapping[str, Provider],
    ours: OurNumbers,
    sender: str | None,
) -> Mapping[str, ChannelSettings]:
    """Returns those of *channels* that can send, for a send that names none. Those that cannot stay where no
    other could take their place, to be named with the reason."""
    can = {
        name: channel
        for name, channel in channels.items()
        if not sendable.reasons(channel, providers[channel.provider])
    }
    owners = ours.owners(sender) & channels.keys()
    return can if can and (not owners or owners & can.keys()) else channels


def hold(channel: ChannelSettings, providers: Mapping[str, Provider]) -> None:
    """Raises ``Problem`` where nothing can be sent on *channel*, with the reason."""
    for reason in sendable.reasons(channel, providers[channel.provider]):
        raise invalid("/channel", f"The channel {channel.name!r} cannot send: {reason}.", "channel_cannot")


def region(channel: ChannelSettings, provider: Provider, default: str) -> str:
    """In which region a recipient's number is read that has no country code."""
    return channel.default_region or provider.region or default


def _regions(channel: ChannelSettings) -> set[str | None]:
    """Where the channel is at home: the regions of its numbers, and the one that it is configured for."""
    return {channel.default_region, *map(phone.region, numbers(channel))} - {None}


def _carried(provider: Provider, *, exactly: bool) -> frozenset[str]:
    # a carrier of MMS alone takes a plain text too: a slide of text
    return provider.kinds | {"sms"} if provider.kinds == {"mms"} and not exactly else provider.kinds


def _list(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"
