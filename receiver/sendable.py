"""Reasons why a channel cannot send: the credentials of its carrier, and the way to it."""

from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from receiver import addresses
from receiver.addresses import Forbidden, Network
from receiver.config import ChannelSettings
from receiver.providers.base import Provider


def reasons(channel: ChannelSettings, provider: Provider) -> list[str]:
    """Returns why nothing can be sent on *channel*, each in a sentence that names the key; none if it can."""
    return [
        f"{key} is not set: the carrier would refuse every call"
        for key in provider.credentials
        if not channel.option(key)
    ]


def misconfigured(
    channel: ChannelSettings, provider: Provider, networks: Sequence[Network] = ()
) -> str | None:
    """Returns what no start should pass over in how *channel* calls its carrier, in a sentence that names the
    key; None if nothing. *networks* are the operator's own, where plain http is fine."""
    for key in provider.credentials:
        if not provider.carries(channel, key):
            return (
                f"{key} holds a character that no header can carry (a blank, a line break, or one outside "
                "ASCII); copy it anew from the carrier's page."
            )
    if channel.sends_app_reference and not provider.reference_kinds:
        return f'wire_reference is "client_reference", and a send of {provider.name} has no field for one.'
    if channel.insecure:
        return None
    for key in provider.url_keys():
        if in_clear(channel.option(key), networks):
            return f"{key} leads to a public address over plain http; use https, or say insecure = true."
    return None


def exposed(public_url: str, channels: Mapping[str, ChannelSettings], networks: Sequence[Network]) -> bool:
    """Returns whether carriers would call at a public *public_url* over plain http, with tokens that all can
    read."""
    called = any(not channel.insecure for channel in channels.values())
    return called and in_clear(public_url, networks)


def in_clear(url: str, networks: Sequence[Network]) -> bool:
    """Returns whether *url* leads over plain http to an address that is not only this machine's or its
    network's."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        address = addresses.literal(host)
    except (ValueError, Forbidden):  # in no usual spelling: whoever looks it up will say more
        return url.lower().startswith("http:")
    if parts.scheme != "http":
        return False
    if address is None:
        return not addresses.is_local_name(host)
    return addresses.public(address) and not any(address in network for network in networks)
