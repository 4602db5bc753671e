"""Asking carriers what became of messages: each channel for itself, whatever another one's carrier does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from models.sends import Fate, Outcome
from models.status import Status
from receiver.outbox import Outbox, Settlement
from sender import silence
from tests.support.beds import connect
from tests.support.installation import Installation, installation
from tests.support.patience import PATIENCE
from tests.support.store import SCHEMA, send

US, THEM = "+61491570006", "+61491570156"
HANGING = "hanging"


@dataclass
class Carrier:
    """A server that takes every connection and answers nothing; *open* and *most* count connections."""

    port: int = 0
    open: int = 0
    most: int = 0

    async def hold(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        self.most = max(self.most, self.open)
        await reader.read(-1)
        self.open -= 1
        writer.close()

    async def asked(self, number: int) -> None:
        """Returns when *number* questions are open. Raises ``TimeoutError``."""
        async with asyncio.timeout(PATIENCE):
            while self.open < number:  # noqa: ASYNC110 - counted by a server
                await asyncio.sleep(0.02)


@asynccontextmanager
async def hanging() -> AsyncIterator[Carrier]:
    carrier = Carrier()
    server = await asyncio.start_server(carrier.hold, "127.0.0.1", 0)
    carrier.port = server.sockets[0].getsockname()[1]
    try:
        yield carrier
    finally:
        server.close()


async def silent_messages(database_url: str, number: int) -> None:
    """*number* messages on the hanging channel of which a report is overdue."""
    database = await connect(database_url)
    outbox = Outbox("", SCHEMA)
    for place in range(number):
        message_id, submission_id = await send(database, channel=HANGING)
        taken = Outcome(Fate.ACCEPTED, (f"H{place}",), status=Status.QUEUED)
        call = Settlement(
            message_id, "message", submission_id, 1, HANGING, "cellcast", taken, report_within=0.0
        )
        await outbox._write_settlements(database, [call])
    await database.close()


def with_hanging_channel(home: Installation, carrier: Carrier, **keys: object) -> None:
    """Adds a channel to *carrier* to what the sender will run with."""
    [known] = home.settings.channels.values()
    extra = {"name": HANGING, "base_url": f"http://127.0.0.1:{carrier.port}", **keys}
    made = type(known).model_validate({**known.model_dump(by_alias=True), **extra})
    home.settings = home.settings.model_copy(update={"channels": {HANGING: made, known.name: known}})


@asynccontextmanager
async def beside_a_hanging_carrier(
    database_url: str, **keys: Any
) -> AsyncIterator[tuple[Installation, Carrier]]:
    """Yields an installation whose sender is not started yet, with *keys* of its own channel, and the carrier
    of another channel, which answers nothing."""
    async with (
        hanging() as carrier,
        installation(database_url, "cellcast", sender=False, **{"from": [US], **keys}) as home,
    ):
        with_hanging_channel(home, carrier)
        yield home, carrier


async def test_a_carrier_that_hangs_delays_no_questions_to_another(database_url: str) -> None:
    async with beside_a_hanging_carrier(database_url, default_region="AU", report_window=1) as (
        home,
        carrier,
    ):
        await silent_messages(database_url, 30)
        await home.order(report="lost")
        home.start_sender()
        await carrier.asked(silence.AT_ONCE)

        message = await home.until((await home.send(THEM))["id"], "delivered")

        assert "report" == message["timeline"][-1]["source"]
        assert silence.AT_ONCE == carrier.most == carrier.open


async def test_no_connection_to_postgres_is_held_while_a_carrier_is_asked(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(silence, "LOOK", 60.0)
    async with beside_a_hanging_carrier(database_url) as (home, carrier):
        await silent_messages(database_url, 10)
        home.start_sender()
        await carrier.asked(silence.AT_ONCE)
        await asyncio.sleep(1)

        database = await connect(database_url)
        held = await database.fetch(
            """SELECT state FROM pg_stat_activity
               WHERE datname = current_database() AND query LIKE '%overdue%' AND pid <> pg_backend_pid()"""
        )
        await database.close()
        assert [] == held


async def test_a_poll_that_hangs_delays_no_other(database_url: str) -> None:
    async with beside_a_hanging_carrier(database_url, default_region="AU", poll=1) as (home, carrier):
        account = home.account.model_dump() | {"callback_url": None}
        assert (await home.carrier.post("/practice/accounts", json=account)).is_success
        home.start_sender()
        await carrier.asked(1)

        await home.carrier.post("/practice/inbound", json={"from": THEM, "to": US, "text": "Yes"})

        [message] = await home.listed(1, direction="inbound")
        assert "Yes" == message["text"]


async def test_what_has_no_room_comes_again_when_its_lease_is_over(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(silence, "ROOM", 2)
    async with beside_a_hanging_carrier(database_url) as (home, carrier):
        await silent_messages(database_url, 20)
        home.start_sender()
        await carrier.asked(2)

        database = await connect(database_url)
        async with asyncio.timeout(PATIENCE):
            while await database.fetchval(  # noqa: ASYNC110 - in another session
                "SELECT count(*) FROM postback.awaited_report WHERE due <= clock_timestamp()"
            ):
                await asyncio.sleep(0.05)
        waiting = await database.fetchval("SELECT count(*) FROM postback.awaited_report")
        await database.close()
        assert 20 == waiting
