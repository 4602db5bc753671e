"""The practice carrier's place in an installation: whose accounts it keeps, and a channel for those who have
configured none."""

import json
import secrets
from pathlib import Path
from typing import Any

from receiver.config import ChannelSettings, Settings
from simulator.app import Account

CHANNEL = "practice"
#: a number from the range that is set aside for fiction
NUMBER = "+18885550100"
#: what the practice carriers can play so far
PROVIDERS = frozenset({"sinch_mms"})


def accounts(settings: Settings, callbacks: str) -> list[Account]:
    """An account for every channel that a practice carrier can serve; it calls back at *callbacks*."""
    return [
        Account(
            provider=channel.provider,
            api_key=channel.option("api_key"),
            callback_url=callback_url(channel, callbacks),
            name=channel.name,
        )
        for channel in settings.channels.values()
        if channel.provider in PROVIDERS and channel.option("api_key")
    ]


def callback_url(channel: ChannelSettings, base: str) -> str:
    """The address to give to the channel's carrier."""
    token = channel.tokens[0] if channel.tokens else "any"
    return f"{base.rstrip('/')}/hooks/{channel.name}/{token}"


def channel(data_dir: Path, carrier: str) -> dict[str, Any]:
    """The configuration of a channel to the practice carrier at *carrier*; its secrets are made once."""
    path = data_dir / "practice.json"
    if not path.exists():
        made = {"token": secrets.token_urlsafe(24), "api_key": secrets.token_urlsafe(24)}
        path.touch(mode=0o600)
        path.write_text(json.dumps(made), encoding="ascii")
    kept: dict[str, str] = json.loads(path.read_text(encoding="ascii"))
    return {
        "provider": "sinch_mms",
        "tokens": [kept["token"]],
        "from": [NUMBER],
        "api_key": kept["api_key"],
        "base_url": f"{carrier}/ep/v2/",
    }
