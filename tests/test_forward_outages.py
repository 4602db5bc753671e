"""Subscribers that are down, and forwarders that die: nothing is lost, and nobody waits for anybody else."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from starlette.responses import Response

from receiver.forward import Terms
from tests.support.app import Heard, running_app, takes
from tests.support.commands import postback as command
from tests.support.forwarding import QUICK, Installed, answering, forwarding
from tests.support.idle import idle
from tests.support.patience import PATIENCE
from tests.support.store import arrival, postback, store

pytestmark = pytest.mark.usefixtures("unhurried")


@pytest.fixture
async def installed(database_url: str, tmp_path: Path) -> AsyncIterator[Installed]:
    async with forwarding(database_url, tmp_path) as made:
        yield made


async def test_gone_disables_and_whoever_comes_back_goes_on_where_it_stood(installed: Installed) -> None:
    async with running_app(answering(410)) as app:
        made = await installed.subscribe(app)
        path = f"/v1/subscribers/{made['id']}"
        await installed.tell("T1")
        installed.forward()
        gone = await installed.until(path, state="disabled")
        await installed.tell("T2", "T3")
        await asyncio.sleep(0.3)
        meanwhile = len(app.heard)
        kept = await installed.get(path)
        answer = await installed.api.patch(path, json={"state": "active"})
        await app.taken(3)
        back = await installed.until(path, lag=0)

    assert "it answered 410 Gone" == gone["disabled_reason"]
    assert (1, 2) == (meanwhile, kept["lag"])
    assert ("active", None) == (answer.json()["state"], answer.json()["disabled_reason"])
    assert {1, 2, 3} == {heard.event["sequence"] for heard in app.took}
    assert "active" == back["state"]


async def test_a_dead_subscriber_slows_nobody(installed: Installed) -> None:
    """Whoever waited for it would wait for as long as it may take, which is longer than this test does."""
    over = asyncio.Event()

    async def never(_: Heard) -> Response:
        await over.wait()
        return Response()

    async with running_app(never) as dead, running_app() as living:
        await installed.subscribe(dead)
        await installed.subscribe(living)
        names = [f"T{number}" for number in range(300)]
        await store(installed.db, [arrival(postback("N101", name)) for name in names])
        installed.forward(Terms(poll=0.02, flush=0.02, tick=0.1, deadline=10 * PATIENCE))
        await dead.first(Terms().concurrency)
        await living.taken(300)
        over.set()
        await installed.stop()


async def test_a_dead_subscriber_has_no_rows_for_what_it_was_never_sent(installed: Installed) -> None:
    over = asyncio.Event()

    async def never(_: Heard) -> Response:
        await over.wait()
        return Response()

    async with running_app(never) as dead:
        stuck = await installed.subscribe(dead)
        names = [f"T{number}" for number in range(300)]
        await store(installed.db, [arrival(postback("N101", name)) for name in names])
        installed.forward(Terms(poll=0.02, flush=0.02, tick=0.1, deadline=0.5))
        async with asyncio.timeout(PATIENCE):
            while len(await installed.deliveries(stuck)) < 10:  # noqa: ASYNC110 - the forwarder's rows
                await asyncio.sleep(0.05)
        await asyncio.sleep(1)
        rows = await installed.deliveries(stuck)
        behind = await installed.get(f"/v1/subscribers/{stuck['id']}")
        await installed.stop()
        over.set()

    assert [] == [row for row in rows if row["state"] != "waiting"]
    assert 10 <= len(rows) <= 45
    assert 300 - len(rows) == behind["lag"]


async def test_whoever_was_down_is_sent_everything_in_order_once_it_answers(installed: Installed) -> None:
    up = asyncio.Event()

    async def manner(_: Heard) -> Response:
        return Response(status_code=204 if up.is_set() else 502)

    terms = Terms(
        pauses=(0.1, 0.2, *(60.0,) * 7), poll=0.02, flush=0.02, tick=0.1, down_after=3, concurrency=4
    )
    async with running_app(manner) as app:
        made = await installed.subscribe(app)
        for number in range(3):
            await installed.tell(*(f"T{name}" for name in range(20)), code=("N101", "N013", "N102")[number])
        installed.forward(terms)
        await app.first(6)
        await asyncio.sleep(0.5)
        behind = await installed.get(f"/v1/subscribers/{made['id']}")
        up.set()
        await app.taken(60)
        caught_up = await installed.until(f"/v1/subscribers/{made['id']}", lag=0)
        rows = await installed.deliveries(made)

    assert behind["lag"] > 40
    assert "active" == caught_up["state"]
    late = {row["event_id"] for row in rows if row["late"]}
    by_message: dict[str, list[int]] = {}
    for heard in app.took:
        if heard.id not in late:
            by_message.setdefault(heard.event["message_id"], []).append(heard.event["sequence"])
    assert 60 == len({heard.id for heard in app.took})
    assert all(numbers == sorted(numbers) for numbers in by_message.values())


async def test_days_of_failure_disable_and_lose_nothing(installed: Installed) -> None:
    offset = timedelta()

    def clock() -> datetime:
        return datetime.now(UTC) + offset

    terms = Terms(
        pauses=(0.05,) * 9, poll=0.02, flush=0.02, tick=0.1, down_after=2, tries_in_order=100, clock=clock
    )
    async with running_app(answering(*[500] * 10_000)) as app:
        made = await installed.subscribe(app)
        path = f"/v1/subscribers/{made['id']}"
        await installed.tell("T1")
        installed.forward(terms)
        await app.first(3)
        before = await installed.get(path)
        offset = timedelta(days=5, minutes=1)
        disabled = await installed.until(path, state="disabled")
        await installed.tell("T2")
        app.manner = takes
        await installed.api.patch(path, json={"state": "active"})
        await app.taken(2)

    assert "active" == before["state"]
    assert "nothing succeeded for 5 days" == disabled["disabled_reason"]
    assert {1, 2} == {heard.event["sequence"] for heard in app.took}


async def test_forwarders_share_the_subscribers_and_each_event_is_sent_once(installed: Installed) -> None:
    async with running_app() as one, running_app() as other:
        await installed.subscribe(one)
        await installed.subscribe(other)
        installed.forward()
        await asyncio.sleep(0.3)
        installed.forward()
        await asyncio.sleep(0.7)
        await installed.tell("T1", "T2", "T3")
        await one.first(3)
        await other.first(3)
        holders = await installed.db.fetch("SELECT DISTINCT holder FROM postback.subscriber")
        await installed.stop()
        left = await installed.db.fetchval("SELECT count(*) FROM postback.forwarder")

    assert 2 == len(holders)
    assert (3, 3) == (len(one.heard), len(other.heard))
    assert 0 == left


async def test_a_killed_forwarder_loses_nothing_and_another_takes_over(installed: Installed) -> None:
    async def slowly(_: Heard) -> Response:
        await asyncio.sleep(0.02)
        return Response(status_code=204)

    variables = {
        "POSTBACK_DATABASE_URL": installed.database_url,
        "POSTBACK_SECRET_KEY": "a secret key for tests",
        "POSTBACK_PRIVATE_NETWORKS": "127.0.0.0/8",
    }
    async with running_app(slowly) as app:
        made = await installed.subscribe(app)
        expected: set[str] = set()
        names = [f"T{number}" for number in range(400)]
        with command("forward", cwd=installed.data_dir, **variables) as first:
            await asyncio.to_thread(first.says, "serving")
            await store(installed.db, [arrival(postback("N101", name)) for name in names])
            await app.taken(100)
            first.process.kill()
            await asyncio.to_thread(first.wait)
        await asyncio.sleep(0.2)  # what was under way is still taken
        with command("forward", cwd=installed.data_dir, **variables) as second:
            async with idle() as clock:
                await app.taken(len(app.took) + 1)
            async with asyncio.timeout(PATIENCE):
                while len({one.id for one in app.took}) < 400:
                    await app.taken(len(app.took) + 1)
            await installed.until(f"/v1/subscribers/{made['id']}", lag=0)
            code = await asyncio.to_thread(second.ends)
        feed = await installed.db.fetch("SELECT id FROM postback.event")
        expected = {str(row["id"]) for row in feed}

    assert expected == {heard.id for heard in app.took}
    assert clock.seconds < Terms().lease.total_seconds() + 4
    assert 0 == code
    # what was written down before the end is not sent again
    assert len(app.heard) < 400 + 200


async def test_how_far_behind_a_subscriber_is_and_what_waits_is_told_to_prometheus(
    installed: Installed,
) -> None:
    async with running_app(answering(500, 500, 500)) as app:
        made = await installed.subscribe(app)
        await installed.tell("T1")
        installed.forward(replace(QUICK, pauses=(0.05, 0.05, *(60.0,) * 7)))
        await installed.written(made, "parked")
        await installed.stop()
        await installed.tell("T2", "T3")
        page = (await installed.api.get("/metrics")).text

    labels = f'subscriber="{made["id"]}"'
    assert f"postback_subscriber_lag{{{labels}}} 2.0" in page
    assert f'postback_deliveries_open{{state="parked",{labels}}} 1.0' in page or (
        f'postback_deliveries_open{{{labels},state="parked"}} 1.0' in page
    )
    assert 'postback_deliveries_total{outcome="parked"}' in page


async def test_a_subscriber_whose_place_is_no_longer_kept_goes_on_with_the_oldest_event(
    installed: Installed,
) -> None:
    async with running_app() as app:
        made = await installed.subscribe(app)
        await store(installed.db, [arrival(postback("N101", f"T{number}")) for number in range(300)])
        await installed.db.execute("DELETE FROM postback.event WHERE seq < 299")
        installed.forward()
        await app.first(2)
        await installed.until(f"/v1/subscribers/{made['id']}", lag=0)

    assert {299, 300} == {heard.event["sequence"] for heard in app.heard}


async def test_one_that_is_down_costs_no_time(installed: Installed) -> None:
    """Much is left to read for it, and nothing can be done."""
    async with running_app(answering(*[500] * 1000)) as app:
        await installed.subscribe(app)
        await store(installed.db, [arrival(postback("N101", f"T{number}")) for number in range(300)])
        installed.forward(Terms(poll=0.05, flush=0.05, tick=0.2))
        await app.first(10)
        await asyncio.sleep(0.5)
        began = time.process_time()
        await asyncio.sleep(1)
        spent = time.process_time() - began

    assert spent < 0.5
