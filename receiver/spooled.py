"""Reads a request that waited in the spool."""

from collections.abc import Awaitable, Callable, Mapping

import orjson

from models.events import Request
from receiver.config import ChannelSettings
from receiver.ingest import Arrival
from receiver.our_numbers import nameless
from receiver.providers.base import Provider
from receiver.sources import Source, sources
from receiver.spool import Record
from receiver.understand import aside, understood


def reader(
    channels: Mapping[str, ChannelSettings], providers: Mapping[str, Provider]
) -> Callable[[Record], Awaitable[Arrival]]:
    """Reads a record as the door does, but for who sent it: that was settled when it came, and a signature's
    time would be over now."""
    from_each = sources(channels, providers)

    async def again(record: Record) -> Arrival:
        payload, channel = record.payload, channels.get(record.payload.channel)
        if channel is None:
            source = Source(payload.channel, "", nameless(payload.channel))
            if not record.authentic:
                return Arrival(payload, source)
            reason = "its channel is not configured any more"
            return Arrival(payload._replace(state="quarantined", reason=reason), source)
        provider = providers[channel.provider]
        source = from_each[channel.name]
        if payload.state != "applied":
            return Arrival(payload, source)
        request = Request(
            payload.method,
            payload.query.encode("latin-1"),
            orjson.loads(payload.headers),
            payload.body,
            payload.received_at,
        )
        state, why, events = await aside(request, understood, provider, channel, request)
        kept = payload._replace(state=state, reason=why)
        return Arrival(kept, source, events, late=True)

    return again
