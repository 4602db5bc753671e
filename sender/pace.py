"""The pace of calls to an account: one rate for all its channels, processes and purposes."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from models.sends import Answer, Call
from receiver import db
from receiver.config import ChannelSettings, Settings
from receiver.http import Client
from receiver.providers.base import Provider
from receiver.secrets import Secrets
from receiver.sql import qualified

#: bytes of the hash that an account is known by in the database
_HASH = 16


@dataclass(frozen=True, slots=True)
class Account:
    """An account with a carrier: *name* is what its turns are kept under, *rate* the calls per second that it
    may make, None without a limit."""

    name: str
    rate: float | None

    @property
    def spacing(self) -> timedelta | None:
        return timedelta(seconds=1 / self.rate) if self.rate else None


def accounts(settings: Settings, providers: Mapping[str, Provider], keys: Secrets) -> Mapping[str, Account]:
    """Returns the account of each channel. Channels with the same address and key are one account, and the
    lowest of their rates is that of all. Only a keyed hash of the two is shown."""
    names: dict[str, str] = {}
    rates: dict[str, list[float]] = {}
    for channel in settings.channels.values():
        provider = providers[channel.provider]
        name = names[channel.name] = _name(channel, provider, keys)
        rate = channel.rate or provider.rate
        rates.setdefault(name, []).extend([rate] if rate else [])
    return {channel: Account(name, min(rates[name], default=None)) for channel, name in names.items()}


def _name(channel: ChannelSettings, provider: Provider, keys: Secrets) -> str:
    credentials = [channel.option(key) for key in provider.credentials]
    if not all(credentials):
        return channel.name
    addresses = sorted(url.rstrip("/").lower() for url in provider.addresses(channel))
    identity = "\0".join([*addresses, *credentials]).encode()
    return f"account:{keys.keyed_hash('account', identity)[:_HASH].hex()}"


class PacedClient(Client):
    """Makes polls and questions, each in a turn of *account*, which its sends take theirs from as well."""

    def __init__(self, settings: Settings, account: Account) -> None:
        super().__init__()
        self._url, self._account = settings.database_url, account
        self._take = qualified("SELECT postback.take_call($1, $2)", settings.db_schema)

    async def call(self, call: Call) -> Answer:
        """Waits for a turn, and calls. Raises what a call and what a look at the database raise."""
        if self._account.spacing:
            async with db.connected(self._url) as connection:
                wait = await connection.fetchval(
                    self._take, self._account.name, self._account.spacing, timeout=5
                )
            await asyncio.sleep(max(wait.total_seconds(), 0.0))
        return await super().call(call)
