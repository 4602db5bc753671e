"""What the logs say of a Postgres that is away: each component once, however long it takes."""

import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from structlog.testing import capture_logs

from postback.embedded import EmbeddedPostgres
from receiver import migrate
from receiver.config import Settings
from receiver.db import Unreachable
from receiver.waiting import Waiting
from tests.support import commands, store
from tests.support.beds import FAST
from tests.support.commands import Started
from tests.support.store import SCHEMA

CHANNELS = {
    f"channel-{number}": {
        "provider": "sinch_mms",
        "tokens": ["a-token-of-tests"],
        "from": [f"+1888555{number:04}"],
        "api_key": "k",
        "base_url": "http://127.0.0.1:9/",
    }
    for number in range(10)
}
#: seconds without Postgres: a line for each look of each channel would be a hundred lines
OUTAGE = 8.0


class Party:
    """One of those who wait."""


def test_many_parties_wait_once_and_go_on_when_the_last_one_does() -> None:
    waiting, parties = Waiting("sends"), [Party() for _ in range(10)]
    with capture_logs() as logged:
        for _ in range(5):
            for party in parties:
                waiting.failed(party, Unreachable("nobody answers"))
        for party in parties:
            assert ["waiting"] == [line["event"] for line in logged]
            waiting.worked(party)
            waiting.worked(party)

    assert ["waiting", "going on"] == [line["event"] for line in logged]
    assert ("sends", "Unreachable: nobody answers") == (logged[0]["component"], logged[0]["reason"])


def test_a_fault_of_another_kind_is_told_within_the_wait() -> None:
    """Or a mistake of ours that shows while Postgres is away would never be seen."""
    waiting, party = Waiting("sends"), Party()
    with capture_logs() as logged:
        for error in (OSError("away"), TimeoutError(), KeyError("ours"), KeyError("ours"), OSError("away")):
            waiting.failed(party, error)

    assert ["OSError: away", "KeyError: 'ours'"] == [line["reason"] for line in logged]


def test_a_party_that_is_gone_keeps_nobody_waiting() -> None:
    waiting, party = Waiting("sends"), Party()
    with capture_logs() as logged:
        waiting.failed(Party(), OSError("away"))
        waiting.failed(party, OSError("away"))
        waiting.worked(party)

    assert "going on" == logged[-1]["event"]


@pytest.mark.parametrize("party", [Settings.model_construct(), Party()])
def test_anything_may_be_a_party(party: object) -> None:
    """A party without a hash, as settings are, ended the task that wanted to say that it goes on."""
    waiting = Waiting("tidying up")
    with capture_logs() as logged:
        waiting.worked(party)
        waiting.failed(party, OSError("away"))
        waiting.worked(party)

    assert ["waiting", "going on"] == [line["event"] for line in logged]


async def test_the_log_does_not_grow_with_the_time_that_postgres_is_away(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path / "pg", settings=FAST) as server:
        await migrate.upgrade(server.url, SCHEMA)
        variables = {
            "DATABASE_URL": server.url,
            "POSTBACK_SECRET_KEY": "a secret key for tests",
            "POSTBACK_CHANNELS": json.dumps(CHANNELS),
        }
        with (
            commands.postback("serve", "--port", "0", cwd=tmp_path, **variables) as web,
            commands.postback("send", cwd=tmp_path, **variables) as sender,
            commands.postback("forward", cwd=tmp_path, **variables) as forwarder,
        ):
            url = await asyncio.to_thread(web.ready)
            await asyncio.to_thread(sender.says, "sending")
            await asyncio.to_thread(forwarder.says, "forwarding")
            processes = {web: "the spool is empty again", sender: "going on", forwarder: "going on"}
            before = [len(process.errors) for process in processes]
            server.stop()
            await _report(url)
            await asyncio.sleep(OUTAGE)
            server.start()
            await _report(url)
            told = [
                await _settled(process, since, last)
                for (process, last), since in zip(processes.items(), before, strict=True)
            ]

    for lines in told:
        said = Counter((line["event"], line.get("component", "")) for line in lines)
        assert {1} == set(said.values()), lines
        waiting = {component for event, component in said if event == "waiting"}
        assert waiting == {component for event, component in said if event == "going on"}
    assert {"sends", "silent messages"} <= {line.get("component") for line in told[1]}


async def _report(url: str) -> None:
    async with httpx.AsyncClient(timeout=10) as client:
        report = store.postback("N101", uuid4().hex)
        answer = await client.post(f"{url}/hooks/channel-0/a-token-of-tests", json=report)
        assert 200 == answer.status_code


async def _settled(process: Started, since: int, last: str) -> list[dict[str, Any]]:
    """What *process* logged after its first *since* lines, once it logged *last* and all that wait go on."""
    async with asyncio.timeout(60):
        while True:
            lines = [json.loads(line) for line in process.errors[since:] if line.startswith("{")]
            events = Counter(line["event"] for line in lines)
            if events[last] and events["waiting"] == events["going on"]:
                return lines
            await asyncio.sleep(0.2)
