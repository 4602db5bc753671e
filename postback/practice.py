"""The practice carrier's place in an installation: whose accounts it keeps, the key to it, and a channel for
those who have configured none."""

import json
import os
import secrets
from collections.abc import Sequence
from contextlib import suppress
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from receiver.config import ChannelSettings, ConfigError, Settings
from receiver.providers import PROVIDERS as SPOKEN
from simulator.accounts import Account

CHANNEL = "practice"
#: where the practice carrier listens unless it is told otherwise
PORT = 8090
FILE = "practice.json"
KEY_FILE = "practice-key"
LOOPBACK = IPv4Network("127.0.0.0/8")
#: a number from the range that is set aside for fiction
NUMBER = "+18885550100"
#: provider -> the channel key that holds what its account proves itself with
PROVIDERS = {
    "sinch_mms": "api_key",
    "sinch_sms": "api_token",
    "swift": "api_key",
    "voicetel": "api_key",
    "cellcast": "api_key",
    "cellcast_v1": "api_key",
}


def accounts(settings: Settings, callbacks: str, carrier: str) -> list[Account]:
    """Returns an account for every channel that sends to the practice carrier at *carrier*.

    It calls back at *callbacks*, as the channel demands. Channels to real carriers are left out.
    """
    return [
        Account(
            provider=channel.provider,
            api_key=channel.option(PROVIDERS[channel.provider]),
            callback_url=callback_url(channel, callbacks),
            name=channel.name,
            basic=_newest(channel.basic),
            bearer=None if channel.basic else _newest(channel.bearer),
            webhook_secret=_newest(channel.webhook_secret) if channel.provider == "sinch_sms" else None,
            # an account demands one campaign, or takes any
            service_id=channel.option("service_id") if len(channel.listed("service_id")) == 1 else None,
            service_plan_id=channel.option("service_plan_id") or None,
            api="2.2" if channel.option("api") == "2.2" else "2",
        )
        for channel in settings.channels.values()
        if channel.provider in PROVIDERS
        and channel.option(PROVIDERS[channel.provider])
        and leads_to(channel, carrier)
    ]


def leads_to(channel: ChannelSettings, carrier: str) -> bool:
    """Returns whether every address at which *channel* calls its carrier is at *carrier*."""
    urls = SPOKEN[channel.provider].addresses(channel) if channel.provider in SPOKEN else []
    return bool(urls) and all(_at(url) == _at(carrier) for url in urls)


def _at(url: str) -> tuple[str, str, int | None] | None:
    """Returns where *url* leads, None for one that cannot be read."""
    try:
        parts = urlsplit(url)
        host = "127.0.0.1" if parts.hostname == "localhost" else parts.hostname or ""
        return parts.scheme, host, parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        return None


def _newest(listed: Sequence[str]) -> str | None:
    """Returns the first of *listed*: a new one is put in front of those that it takes the place of."""
    return listed[0] if listed else None


def callback_url(channel: ChannelSettings, base: str) -> str:
    """The address to give to the channel's carrier."""
    token = quote(channel.tokens[0], safe="") if channel.tokens else "any"
    return f"{base.rstrip('/')}/hooks/{channel.name}/{token}"


def channel(data_dir: Path, carrier: str) -> dict[str, Any]:
    """The configuration of a channel to the practice carrier at *carrier*; its secrets are made once.

    Raises ``ConfigError``.
    """
    made = {"token": secrets.token_urlsafe(24), "api_key": secrets.token_urlsafe(24)}
    path = data_dir / FILE
    try:
        kept: dict[str, str] = json.loads(_kept(path, json.dumps(made)))
    except ValueError as error:
        raise ConfigError(f"{path} cannot be read ({error}); mend or remove it.") from None
    return {
        "provider": "sinch_mms",
        "tokens": [kept["token"]],
        "from": [NUMBER],
        "api_key": kept["api_key"],
        "base_url": f"{carrier}/ep/v2/",
    }


def added(settings: Settings, carrier: str) -> Settings:
    """*settings* with the channel to the practice carrier at *carrier*, unless one has that name already, and
    with leave to fetch its files, which lie on this machine, where no private network is named."""
    if CHANNEL in settings.channels:
        return settings
    made = ChannelSettings.model_validate({"name": CHANNEL, **channel(settings.data_dir, carrier)})
    return settings.model_copy(
        update={
            "channels": {**settings.channels, CHANNEL: made},
            "private_networks": settings.private_networks or [LOOPBACK],
        }
    )


def environment(settings: Settings) -> dict[str, str]:
    """The variables by which our other processes learn what `added` did, beside what they know anyway."""
    channel = settings.channels[CHANNEL]
    known = json.loads(os.environ.get("POSTBACK_CHANNELS") or "{}")
    added = channel.model_dump(mode="json", by_alias=True, exclude={"name"}, exclude_unset=True)
    return {
        "POSTBACK_CHANNELS": json.dumps({**known, channel.name: added}),
        "POSTBACK_PRIVATE_NETWORKS": json.dumps([str(network) for network in settings.private_networks]),
    }


def key(data_dir: Path) -> str:
    """Returns what the control routes of the practice carrier ask for; made once. Raises ``ConfigError``."""
    path = data_dir / KEY_FILE
    kept = _kept(path, secrets.token_urlsafe(24)).strip()
    if not kept:
        raise ConfigError(f"{path} is empty; remove it, and another key is made.")
    return kept


def _kept(path: Path, made: str) -> str:
    """Returns what the file at *path* holds, which is *made* where there was none. Raises ``ConfigError``.

    Of several who make one at once, all get the same. Nobody but our account may read it.
    """
    try:
        if not path.exists():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            scratch = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
            scratch.touch(mode=0o600)
            scratch.write_text(made, encoding="ascii")
            with suppress(FileExistsError):
                path.hardlink_to(scratch)
            scratch.unlink()
        return path.read_text(encoding="ascii")
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read or made ({error}); mend or remove it.") from None


def exists(settings: Settings) -> bool:
    """Whether `added` has ever made the channel on this data directory."""
    return (settings.data_dir / FILE).exists()
