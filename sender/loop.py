"""The sender process: per channel its sends and polls; for all channels one ear for new work, one eye on
leases, and what waits on disk for Postgres."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import chain
from uuid import UUID

import structlog

from receiver import db, optouts, secrets, sendable, spool, spooled
from receiver.config import Settings
from receiver.drain import Drain
from receiver.endless import beside
from receiver.fetching import Fetching
from receiver.http import Client
from receiver.ingest import Ingest
from receiver.media import Store, store_of
from receiver.metrics.sheet import Sheet, recording
from receiver.optouts import OptOuts
from receiver.our_numbers import OurNumbers
from receiver.outbox import Outbox
from receiver.providers.base import Provider
from receiver.sources import sources
from receiver.spool import Spool
from receiver.wakeup import listen
from sender import pace
from sender.answers import Answers
from sender.call import Calls
from sender.channel import ChannelSender
from sender.endings import Endings
from sender.files import OutgoingFiles
from sender.leases import Leases
from sender.pace import PacedClient
from sender.poll import Poll
from sender.settling import Settling
from sender.silence import Silence

log = structlog.get_logger()

#: seconds that calls under way get when the process is told to stop
GRACE = 7.0


async def run(settings: Settings, providers: Mapping[str, Provider], stop: asyncio.Event) -> None:
    """Sends until *stop* is set, then lets the calls under way come to their end."""
    async with recording(Sheet(settings.data_dir, "sender")):
        await _send(settings, providers, stop)


async def _send(settings: Settings, providers: Mapping[str, Provider], stop: asyncio.Event) -> None:
    keys = secrets.load(settings)
    store, opt_outs = store_of(settings, keys), optouts.configured(settings, keys)
    files = OutgoingFiles(store, settings.private_networks)
    async with (
        _settling(settings) as (outbox, settling),
        _ingesting(settings, providers, store, opt_outs) as ingest,
        AsyncExitStack() as clients,
    ):
        tasks, senders, silence = [], [], Silence(settings)
        from_each = sources(settings.channels, providers)
        paced = pace.accounts(settings, providers, keys)
        ours = OurNumbers(settings.channels, providers)
        for channel in settings.channels.values():
            provider = providers[channel.provider]
            answers = Answers(channel, provider, from_each[channel.name], ingest)
            # of its own: a carrier that hangs takes no places from others, nor its sends from its questions
            sending = await clients.enter_async_context(Client())
            account = paced[channel.name]
            asking = await clients.enter_async_context(PacedClient(settings, account))
            calls = Calls(channel, provider, sending, files, answers.keep_unread)
            foreign = ours.others(channel.name)
            senders.append(ChannelSender(channel, provider, outbox, calls, settling, account, foreign))
            tasks.append(silence.questions(channel, provider, asking, answers).run())
            if channel.poll and not sendable.reasons(channel, provider):
                tasks += [
                    Poll(settings, channel, provider, asking, answers, listed).run()
                    for listed in provider.lists
                ]

        def wake() -> None:
            for sender in senders:
                sender.wake()

        def busy() -> set[UUID]:
            return set(chain(settling.in_hand, *(sender.under_way for sender in senders)))

        tasks += [
            *(sender.run() for sender in senders),
            settling.run(),
            Leases(outbox, settings, providers, busy).run(),
            silence.run(),
            Endings(settings).run(),
            Fetching(settings, store, opt_outs).run(),
            listen(settings, wake),
        ]
        log.info("sending", channels=sorted(settings.channels))
        try:
            async with beside(*tasks):
                try:
                    await stop.wait()
                finally:
                    settling.stop()
        finally:
            await asyncio.gather(*(sender.finish(GRACE) for sender in senders))


@asynccontextmanager
async def _settling(settings: Settings) -> AsyncIterator[tuple[Outbox, Settling]]:
    outbox = Outbox(settings.database_url, settings.db_schema)
    where = spool.answers(settings.data_dir.absolute()) if settings.spool else None
    settling = Settling(outbox, where)
    await outbox.open()
    settling.open()
    try:
        yield outbox, settling
    finally:
        await settling.close()
        await outbox.close()


@asynccontextmanager
async def _ingesting(
    settings: Settings, providers: Mapping[str, Provider], store: Store, opt_outs: OptOuts
) -> AsyncIterator[Ingest]:
    """What carriers tell when they are asked, with a spool for the time that Postgres is away."""
    own = Spool(spool.directory(settings.data_dir.absolute())) if settings.spool else None
    ingest = Ingest(settings.database_url, settings.db_schema, store, opt_outs, own)
    ingest.open()
    drain = None
    if own:

        async def check() -> None:
            await db.check(settings.database_url, settings.db_schema)

        drain = Drain(own, ingest, spooled.reader(settings.channels, providers), check)
        await drain.open(checked=True)
    try:
        yield ingest
    finally:
        if drain:
            await drain.close()
        await ingest.close()
