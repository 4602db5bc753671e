"""The sender process: a `ChannelSender` per channel, one ear for new work, one eye on dead leases."""

import asyncio
from collections.abc import Mapping

import structlog

from receiver import optouts, secrets
from receiver.config import Settings
from receiver.fetching import Fetching
from receiver.http import Client
from receiver.ingest import Ingest
from receiver.media import store_of
from receiver.metrics.sheet import Sheet, recording
from receiver.outbox import Outbox, Settlement, uncertain
from receiver.providers.base import Provider
from receiver.wakeup import listen, outbox_channel
from sender.channel import ChannelSender
from sender.endings import Endings
from sender.files import OutgoingFiles
from sender.poll import Poll
from sender.silence import Silence

log = structlog.get_logger()

#: seconds between looks for leases that ran out
LEASE_LOOK = 5.0
#: seconds that calls under way get when the process is told to stop
GRACE = 7.0


async def run(settings: Settings, providers: Mapping[str, Provider], stop: asyncio.Event) -> None:
    """Sends until *stop* is set, then lets the calls under way come to their end."""
    async with recording(Sheet(settings.data_dir, "sender")):
        await _send(settings, providers, stop)


async def _send(settings: Settings, providers: Mapping[str, Provider], stop: asyncio.Event) -> None:
    outbox = Outbox(settings.database_url, settings.db_schema)
    keys = secrets.load(settings)
    store = store_of(settings, keys)
    opt_outs = optouts.configured(settings, keys)
    ingest = Ingest(settings.database_url, settings.db_schema, store, opt_outs)
    files = OutgoingFiles(store, settings.private_networks)
    await outbox.open()
    ingest.open()
    async with Client() as client:
        senders = [
            ChannelSender(channel, providers[channel.provider], outbox, client, files)
            for channel in settings.channels.values()
        ]

        def wake() -> None:
            for sender in senders:
                sender.wake()

        tasks = [asyncio.create_task(sender.run()) for sender in senders]
        tasks.append(asyncio.create_task(_watch_leases(outbox, settings, providers)))
        tasks.append(asyncio.create_task(Silence(settings, providers, client, ingest).run()))
        tasks.append(asyncio.create_task(Endings(settings).run()))
        tasks.extend(
            asyncio.create_task(Poll(settings, channel, providers, client, ingest).run())
            for channel in settings.channels.values()
            if channel.poll
        )
        tasks.append(asyncio.create_task(Fetching(settings, store, opt_outs).run()))
        tasks.append(asyncio.create_task(listen(settings, outbox_channel(settings.db_schema), wake)))
        log.info("sending", channels=sorted(settings.channels))
        await stop.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(sender.finish(GRACE) for sender in senders))
    await asyncio.gather(ingest.close(), outbox.close())


async def _watch_leases(outbox: Outbox, settings: Settings, providers: Mapping[str, Provider]) -> None:
    while True:
        try:
            await _settle_dead_calls(outbox, settings, providers)
        except Exception as error:  # noqa: BLE001 - the database is away: look again
            log.warning("cannot look for dead leases", reason=f"{type(error).__name__}: {error}")
        await asyncio.sleep(LEASE_LOOK)


async def _settle_dead_calls(outbox: Outbox, settings: Settings, providers: Mapping[str, Provider]) -> None:
    for row in await outbox.expire_leases():
        channel = settings.channels.get(row["channel"])
        provider = providers[channel.provider].name if channel else ""
        log.warning("call without an end", id=str(row["id"]), channel=row["channel"])
        await outbox.settle(
            Settlement(
                row["id"],
                row["kind"],
                row["submission_id"],
                row["attempt"],
                row["channel"],
                provider,
                uncertain("the sender ended during the call"),
            )
        )
