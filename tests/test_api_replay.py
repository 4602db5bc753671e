"""Replaying through the API and at the command line."""

from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from receiver.auth import create_key
from tests.support.commands import configured, run
from tests.support.receiver import CHANNEL, CHANNELS, TOKEN, Receiver, running
from tests.support.store import postback

BASIC = {CHANNEL: {**CHANNELS[CHANNEL], "basic": "carrier:right"}}
MENDED = {CHANNEL: {**CHANNELS[CHANNEL], "basic": "carrier:left"}}


async def call(receiver: Receiver, key: str | None = None, **asked: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {key or receiver.key}"}
    return await receiver.client.post(f"{receiver.url}/v1/payloads/replay", json=asked, headers=headers)


async def refused(database_url: str) -> None:
    """Two reports of a carrier whose password was changed without telling us."""
    async with running(database_url, BASIC) as receiver:
        for tracking_id in ("T1", "T2"):
            report = orjson.dumps(postback("N102", tracking_id))
            answer = await receiver.client.post(
                receiver.hook(), content=report, auth=httpx.BasicAuth("carrier", "left")
            )
            assert 401 == answer.status_code


async def test_refused_requests_are_replayed_once_the_setting_is_mended(database_url: str) -> None:
    await refused(database_url)
    async with running(database_url, MENDED) as receiver:
        foretold = (await call(receiver, state="unverified", dry_run=True)).json()
        assert ["unverified", "unverified"] == await receiver.states()
        done = (await call(receiver, state="unverified")).json()
        again = (await call(receiver)).json()
        (event, _) = await receiver.rows("SELECT * FROM postback.event ORDER BY seq")
        shown = await receiver.client.get(
            f"{receiver.url}/v1/messages/{event['message_id']}",
            headers={"Authorization": f"Bearer {receiver.key}"},
        )

    assert foretold == {**done, "dry_run": True}
    assert {"applied": 2} == done["states"]
    assert [(None, "delivered", 1)] * 2 == [
        (one["status_before"], one["status"], one["events_written"]) for one in done["messages"]
    ]
    assert ([], 0) == (again["messages"], again["events_written"])
    assert [1] == [one["replay"] for one in shown.json()["timeline"]]


async def test_a_replay_goes_on_where_the_last_call_ended(database_url: str) -> None:
    await refused(database_url)
    async with running(database_url, MENDED) as receiver:
        first = (await call(receiver, limit=1)).json()
        second = (await call(receiver, limit=1, cursor=first["next_cursor"])).json()
        third = (await call(receiver, limit=1, cursor=second["next_cursor"])).json()
        wrong = await call(receiver, cursor="what")

    assert [1, 1, 0] == [len(page["payloads"]) for page in (first, second, third)]
    assert None is third["next_cursor"]
    assert (422, "invalid_cursor") == (wrong.status_code, wrong.json()["code"])


async def test_a_key_replays_only_what_its_channels_received(database_url: str) -> None:
    await refused(database_url)
    async with running(database_url, MENDED) as receiver:
        keys = receiver.app._engine, receiver.app._secrets
        bound = await create_key(*keys, name="bound", scopes=("admin",), channels=["other"])
        reader = await create_key(*keys, name="reader", scopes=("read",))
        nothing = (await call(receiver, bound)).json()
        forbidden = await call(receiver, reader)
        assert ["unverified", "unverified"] == await receiver.states()

    assert ([], []) == (nothing["payloads"], nothing["messages"])
    assert 403 == forbidden.status_code


@pytest.fixture
def directory(tmp_path: Path, database_url: str) -> Path:
    return configured(tmp_path, database_url, CHANNEL, tokens=[TOKEN], basic="carrier:left")


async def test_the_command_says_what_would_change_then_changes_it(database_url: str, directory: Path) -> None:
    await refused(database_url)

    _, dry, _ = run("payloads", "replay", "--state", "unverified", "--dry-run", cwd=directory)
    code, done, _ = run("payloads", "replay", "--since", "2026-01-01T00:00:00Z", cwd=directory)
    _, again, _ = run("payloads", "replay", "--channel", CHANNEL, cwd=directory)
    folded, recomputed, _ = run("recompute", cwd=directory)

    assert (0, 0) == (code, folded)
    assert dry.replace("would be ", "").replace("would change", "changed") == done
    assert "payloads   2 applied" in done
    assert "2 x new -> delivered" in done
    assert "messages   0 changed" in again
    assert "messages   0 changed" in recomputed


def test_the_command_says_what_it_does_not_understand(directory: Path) -> None:
    assert [
        (1, '"odd" is no state of a payload; they are applied, duplicate, quarantined, unverified.\n'),
        (1, "--since must be a moment of RFC 3339, like 2026-11-21T10:00:00Z.\n"),
        (1, '"nothing" is no id.\n'),
    ] == [
        (code, error)
        for given in (("--state", "odd"), ("--since", "yesterday"), ("--id", "nothing"))
        for code, _, error in [run("payloads", "replay", *given, cwd=directory)]
    ]
