"""An installation on two Postgres servers, under load: carriers call, an app sends, others hear of events."""

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from uuid import uuid4

import httpx

from faults.apps import FeedReader, Told, called
from faults.callers import Callers
from faults.machine import Machine, machine
from faults.pair import Pair
from faults.ports import free_port
from faults.rows import Run
from faults.rows_sender import Sending
from faults.traffic import CHANNEL, Mixed

#: requests of carriers, and sends of an app, a second
RATE, SENDS = 200, 10
#: seconds for all that waits to come to its end
PATIENCE = 90.0
#: where the subscriber is
PRIVATE = '["127.0.0.0/8"]'


@dataclass
class Installed:
    """All that runs beside the servers, and what it was told."""

    broken: Machine
    pair: Pair
    api: httpx.AsyncClient
    callers: Callers
    sending: Sending
    reader: FeedReader
    posted: Told = field(default_factory=Told)
    #: what sends were answered that were not taken
    refused: Counter[int] = field(default_factory=Counter)
    #: requests in the spool when a primary died whose standby was cut off
    spooled: int = 0
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    async def load(self, until: asyncio.Event) -> None:
        """Has carriers call and an app send, until *until* is set and everything is answered."""
        sends = asyncio.create_task(self._send(until))
        await self.callers.flow(RATE, until)
        await sends
        await self.callers.resend()

    async def _send(self, until: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as open_sends:
            while not until.is_set():
                open_sends.create_task(self._send_one(f"+1206{3_000_000 + next(self._numbers)}"))
                await asyncio.sleep(1 / SENDS)

    async def _send_one(self, to: str) -> None:
        """Sends to *to*, and tries again until it is taken."""
        key = {"idempotency-key": str(uuid4())}
        content = {"to": to, "text": "Hello", "channel": CHANNEL}
        async with asyncio.timeout(PATIENCE):
            while True:
                with suppress(httpx.TransportError):
                    answer = await self.api.post("/v1/messages", json=content, headers=key)
                    if answer.status_code == httpx.codes.ACCEPTED:
                        break
                    self.refused[answer.status_code] += 1
                await asyncio.sleep(0.2)
        [message] = answer.json()["data"]
        self.sending.messages[message["id"]] = to


@asynccontextmanager
async def replicated(run: Run, *, synchronous: bool) -> AsyncIterator[Installed]:
    """Yields an installation on two servers, with a sender, a forwarder, a reader and a subscriber."""
    port = free_port()
    keys = {"api_key": "the-carriers-key", "base_url": f"http://127.0.0.1:{port}/ep/v2/"}
    async with machine(**keys) as broken:
        pair = await broken.replicated(synchronous=synchronous)
        await broken.simulate(port)
        await broken.serve(workers=2, POSTBACK_PRIVATE_NETWORKS=PRIVATE)
        await broken.background("send")
        await broken.background("forward", POSTBACK_PRIVATE_NETWORKS=PRIVATE)
        journal = run.journal("synchronous" if synchronous else "asynchronous")
        callers = Callers(broken.address, Mixed(run.seed, await broken.sent_messages()), journal)
        async with broken.clients(within=40) as (api, carrier):
            installed = Installed(broken, pair, api, callers, Sending(broken, api, carrier), FeedReader(api))
            async with called(installed.posted) as url:
                (await api.post("/v1/subscribers", json={"url": url})).raise_for_status()
                reading = asyncio.create_task(installed.reader.run())
                try:
                    yield installed
                finally:
                    reading.cancel()
