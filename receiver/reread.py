"""What a kept payload says today."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import structlog

from models.events import Event
from receiver import kept
from receiver.config import ChannelSettings
from receiver.correlate import Rows, rows
from receiver.kept import KeptPayload
from receiver.media import Store, contents
from receiver.optouts import OptOuts
from receiver.providers.base import Provider
from receiver.rows import PayloadRow
from receiver.secrets import Secrets
from receiver.sources import Source, sources
from receiver.together import placed
from receiver.understand import aside, place_of, understood

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Reading:
    """What a payload says today. *left*: why it is left as it is."""

    payload: KeptPayload
    state: str
    reason: str | None
    rows: Rows
    left: bool = False


class Reader:
    """By the channels and providers of today. *store* takes files that came inside the requests."""

    def __init__(
        self,
        channels: Mapping[str, ChannelSettings],
        providers: Mapping[str, Provider],
        secrets: Secrets,
        opt_outs: OptOuts,
        store: Store | None,
    ) -> None:
        self._channels, self._providers = channels, providers
        self._secrets, self._opt_outs, self._store = secrets, opt_outs, store
        self._sources = sources(channels, providers)

    async def read(self, payload: KeptPayload, *, files: bool = True) -> Reading:
        channel = self._channels.get(payload.channel)
        if channel is None:
            return as_it_was(payload, "there is no channel of this name any more")
        provider = self._providers[channel.provider]
        if payload.state == "unverified" and not self._authentic(payload, channel, provider):
            return Reading(payload, "unverified", "authentication failed again", Rows())
        request = payload.request
        state, reason, events = await aside(request, understood, provider, channel, request)
        if state != "applied" and payload.state in ("applied", "duplicate"):
            return as_it_was(payload, reason)
        try:
            if self._store and files:
                for content in contents(events):
                    await asyncio.to_thread(self._store.put, content)
            made = self._rows(payload, events, self._sources[channel.name])
        except OSError as error:
            return as_it_was(payload, f"a file cannot be written: {error.strerror}")
        except Exception as error:  # noqa: BLE001 - as at the door: whatever is wrong with it, it is kept
            return poisoned(payload, type(error).__name__)
        return Reading(payload, state, reason, made)

    def _rows(self, payload: KeptPayload, events: Sequence[Event], source: Source) -> Rows:
        link = self._store.links.to if self._store else None
        made = rows(events, source, payload.id, payload.received_at, link, self._opt_outs)
        return placed(made, payload.id, payload.received_at)

    def _authentic(self, payload: KeptPayload, channel: ChannelSettings, provider: Provider) -> bool:
        try:
            return kept.still_authentic(payload, channel, provider, self._secrets)
        except Exception as error:  # noqa: BLE001 - a signature that cannot even be read proves nothing
            log.error("authentication failed to run", channel=channel.name, error=place_of(error))
            return False


def as_it_was(payload: KeptPayload, reason: str | None) -> Reading:
    return Reading(payload, payload.state, reason, Rows(), left=True)


def poisoned(payload: KeptPayload, why: str) -> Reading:
    reason = f"cannot be stored as understood: {why}"[:500]
    if payload.state in ("applied", "duplicate"):
        return as_it_was(payload, reason)
    return Reading(payload, "quarantined", reason, Rows())


def payload_row(reading: Reading) -> PayloadRow:
    kept_as = reading.payload
    return PayloadRow(
        kept_as.id, kept_as.channel, reading.state, reading.reason, kept_as.method, "", "{}", b"",
        kept_as.peer, kept_as.received_at,
    )  # fmt: skip
