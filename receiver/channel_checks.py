"""Checks of a channel's settings by its provider, before anything starts on them."""

import difflib
from collections.abc import Mapping

from receiver import confirmations, sendable
from receiver.config import ChannelSettings, ConfigError, Settings
from receiver.providers import PROVIDERS
from receiver.providers.base import MEDIA_CHECK, MEDIA_CHECKS, Provider


def providers_of(settings: Settings) -> Mapping[str, Provider]:
    """Returns the providers, where every channel has settings that its own takes. Raises ``ConfigError``."""
    for channel in settings.channels.values():
        _check_keys(channel, settings)
    if sendable.exposed(settings.public_url, settings.channels, settings.private_networks):
        raise ConfigError(
            "public_url is a public address over plain http, where anybody on the way reads the tokens of "
            "callbacks; use https, or say insecure = true on every channel."
        )
    return PROVIDERS


def _check_keys(channel: ChannelSettings, settings: Settings) -> None:
    provider = PROVIDERS.get(channel.provider)
    if provider is None:
        raise ConfigError(
            f'channels.{channel.name}.provider is "{channel.provider}"; the known ones are '
            f"{', '.join(sorted(PROVIDERS))}."
        )
    if not (channel.authenticated or channel.insecure or provider.verifies_signatures):
        raise ConfigError(
            f"channels.{channel.name} has no authentication: {channel.provider} signs no callbacks, so "
            "webhook_secret proves nothing; give it tokens, basic, bearer or allow_from, or say "
            "insecure = true."
        )
    wrong = (
        provider.misconfigured(channel)
        or sendable.misconfigured(channel, provider, settings.private_networks)
        or confirmations.misconfigured(channel, provider)
    )
    chosen = channel.option(MEDIA_CHECK)
    if MEDIA_CHECK in provider.keys and chosen and chosen not in MEDIA_CHECKS:
        wrong = f'{MEDIA_CHECK} must be "refuse", "warn" or "off".'
    if wrong:
        raise ConfigError(f"channels.{channel.name}: {wrong}")
    known = [*ChannelSettings.model_fields, "from", *provider.keys]
    for key in channel.extra:
        if key not in provider.keys:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.0)
            raise ConfigError(
                f'Unknown configuration key "channels.{channel.name}.{key}"; '
                f'the nearest known one is "{near[0]}".'
            )
