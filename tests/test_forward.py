"""Events reach apps: signed, in order, again when that is needed, and nobody waits for anybody else."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from standardwebhooks import WebhookVerificationError
from starlette.responses import Response, StreamingResponse

from receiver import forward
from receiver.config import settings
from receiver.forward import Terms
from receiver.forward.terms import retry_after
from receiver.secrets import Secrets, Undecryptable
from receiver.subscribers import shown
from tests.support.api import SECRETS
from tests.support.app import App, Heard, running_app, takes
from tests.support.commands import postback as command
from tests.support.receiver import running as receiver_running
from tests.support.store import arrival, postback, store

QUICK = Terms(pauses=(0.1,) * 9, poll=0.02, flush=0.02, tick=0.1, lease=timedelta(seconds=2), deadline=1.0)


@dataclass
class Installed:
    """Everything but the forwarder, which a test starts in its own manner."""

    database_url: str
    data_dir: Path
    api: httpx.AsyncClient
    db: asyncpg.Connection
    forwarders: list[tuple[asyncio.Task[None], asyncio.Event]] = field(default_factory=list)

    def forward(self, terms: Terms = QUICK) -> None:
        stop = asyncio.Event()
        configured = settings(
            {
                "database_url": self.database_url,
                "secret_key": ["a key for tests"],
                "data_dir": str(self.data_dir),
                "private_networks": ["127.0.0.0/8"],
            }
        )
        self.forwarders.append((asyncio.create_task(forward.run(configured, stop, terms)), stop))

    async def stop(self) -> None:
        for task, stop in self.forwarders:
            stop.set()
            await task
        self.forwarders.clear()

    async def subscribe(self, app: App | str, **wanted: Any) -> dict[str, Any]:
        url = app if isinstance(app, str) else app.url
        answer = await self.api.post("/v1/subscribers", json={"url": url, **wanted})
        assert 201 == answer.status_code, answer.text
        made: dict[str, Any] = answer.json()
        return made

    async def tell(self, *names: str, code: str = "N101") -> None:
        """An event of each message: *names* are tracking-ids."""
        for name in names:
            await store(self.db, [arrival(postback(code, name))])

    async def get(self, path: str, **query: str) -> Any:
        answer = await self.api.get(path, params=query)
        assert 200 == answer.status_code, answer.text
        return answer.json()

    async def post(self, path: str, **body: Any) -> Any:
        answer = await self.api.post(path, json=body or None)
        assert answer.is_success, answer.text
        return answer.json()

    async def until(self, path: str, within: float = 5, **wanted: Any) -> dict[str, Any]:
        """What *path* answers, once it is as *wanted*."""
        async with asyncio.timeout(within):
            while True:
                found: dict[str, Any] = await self.get(path)
                if wanted.items() <= found.items():
                    return found
                await asyncio.sleep(0.02)

    async def deliveries(self, subscriber: Mapping[str, Any], **query: str) -> list[dict[str, Any]]:
        """Oldest first."""
        found = await self.get(f"/v1/subscribers/{subscriber['id']}/deliveries", limit="200", **query)
        return list(reversed(found["data"]))

    async def written(
        self, subscriber: Mapping[str, Any], *states: str, within: float = 5
    ) -> list[dict[str, Any]]:
        """The deliveries, once they have these states."""
        async with asyncio.timeout(within):
            while True:
                found = await self.deliveries(subscriber)
                if list(states) == [one["state"] for one in found]:
                    return found
                await asyncio.sleep(0.02)


@pytest.fixture
async def installed(database_url: str, tmp_path: Path) -> AsyncIterator[Installed]:
    async with receiver_running(
        database_url, data_dir=str(tmp_path), private_networks=["127.0.0.0/8"]
    ) as receiver:
        headers = {"authorization": f"Bearer {receiver.key}"}
        db = await asyncpg.connect(database_url)
        async with httpx.AsyncClient(base_url=receiver.url, headers=headers) as api:
            made = Installed(database_url, tmp_path, api, db)
            yield made
            await made.stop()
        await db.close()


def answering(*statuses: int, headers: Mapping[str, str] | None = None) -> Any:
    """These in turn, then 204."""
    left = list(statuses)

    async def manner(_: Heard) -> Response:
        return Response(b"as ordered", left.pop(0) if left else 204, headers)

    return manner


async def test_an_event_is_posted_signed_with_its_message_as_of_then(installed: Installed) -> None:
    async with running_app() as app:
        made = await installed.subscribe(app)
        await installed.tell("T1")
        await installed.tell("T1", code="N102")
        installed.forward()
        sent, delivered = await app.first(2)
        feed = await installed.get("/v1/events")

    sent.verify(made["secret"])
    with pytest.raises(WebhookVerificationError):
        sent.verify("whsec_" + "A" * 43 + "=")
    assert feed["data"] == [sent.event, delivered.event]
    assert [e["id"] for e in feed["data"]] == [sent.id, delivered.id]
    assert {"type", "timestamp", "data"} == sent.content.keys()
    assert ("message.sent", sent.event["received_at"]) == (sent.content["type"], sent.content["timestamp"])
    messages = [heard.content["data"]["message"] for heard in (sent, delivered)]
    assert [("sent", "pending"), ("delivered", "success")] == [(m["status"], m["outcome"]) for m in messages]
    assert sent.event["message_id"] == messages[0]["id"]


async def test_a_failure_and_a_conflict_are_told_as_of_their_events(installed: Installed) -> None:
    async with running_app() as app:
        await installed.subscribe(app)
        for code in ("N101", "E102", "N102"):
            await installed.tell("T1", code=code)
        installed.forward()
        heard = await app.first(3)

    messages = [one.content["data"]["message"] for one in heard]
    assert [("pending", False), ("failure", False), ("success", True)] == [
        (message["outcome"], message["conflict"]) for message in messages
    ]
    assert [None, "E102", None] == [(message["error"] or {}).get("code") for message in messages]
    assert messages[2]["status"] == (await installed.get(f"/v1/messages/{messages[0]['id']}"))["status"]


async def test_only_what_was_asked_for_is_sent_and_the_rest_is_no_lag(installed: Installed) -> None:
    async with running_app() as app:
        made = await installed.subscribe(app, types=["message.delivered"])
        await installed.tell("T1", "T2")
        await installed.tell("T2", code="N102")
        installed.forward()
        await app.first(1)
        caught_up = await installed.until(f"/v1/subscribers/{made['id']}", lag=0)

    assert ["message.delivered"] == [heard.content["type"] for heard in app.heard]
    assert "active" == caught_up["state"]


async def test_after_three_failed_tries_a_conversation_goes_on_and_the_event_comes_late(
    installed: Installed,
) -> None:
    refused: list[str] = []

    async def manner(heard: Heard) -> Response:
        if heard.event["sequence"] == 1 and len(refused) < 4:
            refused.append(heard.id)
            return Response(status_code=500)
        return Response(status_code=204)

    async with running_app(manner) as app:
        made = await installed.subscribe(app)
        await installed.tell("T1", "T2")
        await installed.tell("T1", "T2", code="N102")
        installed.forward()
        await app.first(8)
        # the last is delivered last, as the only one late
        rows = await installed.written(made, *["delivered"] * 4)

    order = [heard.event["sequence"] for heard in app.heard]
    assert [1, 2, 4] == order[:3], "others waited for it"
    assert [1, 1, 3] == [number for number in order if number in (1, 3)][1:4], "it went on too early"
    assert 1 == order[-1]
    assert 1 == len({heard.id for heard in app.heard if heard.event["sequence"] == 1})
    assert 1 == len({heard.body for heard in app.heard if heard.event["sequence"] == 1})
    by_event = {row["event_id"]: row for row in rows}
    late = by_event[refused[0]]
    assert (True, [500, 500, 500, 500, 204]) == (late["late"], [a["status"] for a in late["attempts"]])
    assert [False] * 3 == [row["late"] for row in rows if row is not late]


async def test_retry_after_is_waited_for(installed: Installed) -> None:
    async with running_app(answering(503, headers={"Retry-After": "1"})) as app:
        await installed.subscribe(app)
        await installed.tell("T1")
        installed.forward()
        first, second = await app.first(2)

    assert second.at - first.at >= 1


def test_retry_after_is_read_in_seconds_and_as_a_date() -> None:
    now = datetime(2026, 11, 21, 12, tzinfo=UTC)
    read = {
        "120": 120.0,
        " 7 ": 7.0,
        format_datetime(now + timedelta(seconds=90), usegmt=True): 90.0,
        "Sat, 21 Nov 2026 11:00:00 GMT": 0.0,
        "Sat, 21 Nov 2026 13:00:00 -0000": 3600.0,
        "99999999999999999999": 86400.0,
        "soon": None,
        "-5": None,
        "1.5": None,
        "": None,
    }
    assert read == {given: retry_after(given, now) for given in read}
    assert retry_after(None, now) is None


def test_the_schedule_has_ten_tries_in_three_days() -> None:
    terms = Terms(jitter=0)
    pauses = [terms.pause(tries, None) for tries in range(1, terms.tries)]

    assert [5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400] == pauses
    assert 400 == terms.pause(2, 400.0)
    assert all(4.5 <= Terms().pause(1, None) <= 5.5 for _ in range(100))


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


async def test_an_answer_without_an_end_ends(installed: Installed) -> None:
    """Of one that is long the first 2 KiB are read; one that is slow ends with its time."""

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 4096
            await asyncio.sleep(0)

    async def trickling() -> AsyncIterator[bytes]:
        while True:
            yield b"x"
            await asyncio.sleep(0.05)

    async def manner(heard: Heard) -> Response:
        return StreamingResponse(endless() if heard.event["sequence"] == 1 else trickling())

    async with running_app(manner) as app:
        made = await installed.subscribe(app)
        await installed.tell("T1", "T2")
        installed.forward()
        await app.first(2)
        await asyncio.sleep(1.3)
        [long, slow] = sorted(await installed.deliveries(made), key=lambda row: row["event_id"])
        await installed.stop()

    assert ("delivered", 200, "x" * 2048) == (
        long["state"],
        long["attempts"][0]["status"],
        long["attempts"][0]["answer"],
    )
    assert ("waiting", None) == (slow["state"], slow["attempts"][0]["status"])
    assert "no whole answer came within 1 s" == slow["attempts"][0]["error"]
    assert 1000 <= slow["attempts"][0]["ms"] < 1500


async def test_a_redirect_is_a_failure(installed: Installed) -> None:
    async with running_app() as other, running_app() as app:

        async def manner(_: Heard) -> Response:
            return Response(status_code=307, headers={"location": other.url})

        app.manner = manner
        made = await installed.subscribe(app)
        await installed.tell("T1")
        installed.forward(Terms(poll=0.02, flush=0.02, tick=0.1))
        [row] = await installed.written(made, "waiting")

    assert ([307], []) == ([attempt["status"] for attempt in row["attempts"]], other.heard)


async def test_a_private_address_is_not_connected_to_whatever_was_subscribed(installed: Installed) -> None:
    async with running_app() as app:
        made = await installed.subscribe(app)
        stranger = app.url.replace("127.0.0.1", "10.0.0.1")
        await installed.db.execute("UPDATE postback.subscriber SET url = $1", stranger)
        await installed.tell("T1")
        installed.forward(Terms(poll=0.02, flush=0.02, tick=0.1))
        [row] = await installed.written(made, "waiting")

    [attempt] = row["attempts"]
    assert attempt["status"] is None
    assert "10.0.0.1 is not a public address" in attempt["error"]


async def test_a_dead_subscriber_slows_nobody(installed: Installed) -> None:
    over = asyncio.Event()

    async def never(_: Heard) -> Response:
        await over.wait()
        return Response()

    async with running_app(never) as dead, running_app() as living:
        stuck = await installed.subscribe(dead)
        await installed.subscribe(living)
        names = [f"T{number}" for number in range(300)]
        await store(installed.db, [arrival(postback("N101", name)) for name in names])
        installed.forward(Terms(poll=0.02, flush=0.02, tick=0.1, deadline=0.5))
        began = time.monotonic()
        await living.taken(300)
        took = time.monotonic() - began
        await asyncio.sleep(1)
        rows = await installed.deliveries(stuck)
        behind = await installed.get(f"/v1/subscribers/{stuck['id']}")
        await installed.stop()
        over.set()

    assert took < 2
    assert [] == [row for row in rows if row["state"] != "waiting"]
    # one that is down as a whole has no rows for what it was never sent
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
        await app.taken(60, within=15)
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


async def test_after_a_rotation_both_secrets_sign(installed: Installed) -> None:
    async with running_app() as app:
        made = await installed.subscribe(app)
        rotated = await installed.post(f"/v1/subscribers/{made['id']}/rotate")
        await installed.tell("T1")
        installed.forward()
        [during] = await app.first(1)
        await installed.db.execute("UPDATE postback.subscriber SET previous_until = now()")
        await asyncio.sleep(0.3)
        await installed.tell("T2")
        after = (await app.first(2))[1]

    assert made["secret"] != rotated["secret"]
    assert 2 == len(during.headers["webhook-signature"].split())
    during.verify(made["secret"])
    during.verify(rotated["secret"])
    after.verify(rotated["secret"])
    with pytest.raises(WebhookVerificationError):
        after.verify(made["secret"])


async def test_a_replay_sends_again_under_the_same_ids_at_its_rate_beside_what_is_new(
    installed: Installed,
) -> None:
    async with running_app() as app:
        made = await installed.subscribe(app)
        names = [f"T{number}" for number in range(10)]
        await installed.tell(*names)
        installed.forward(Terms(poll=0.02, flush=0.02, tick=0.1, replay_rate=10))
        first = await app.taken(10)
        await installed.until(f"/v1/subscribers/{made['id']}", lag=0)
        await installed.post(f"/v1/subscribers/{made['id']}/replay", after=first[3].event["cursor"])
        await app.taken(11)
        await installed.tell("new")
        everything = await app.taken(17)
        await asyncio.sleep(0.3)
        replaying = await installed.db.fetchval("SELECT replay_after FROM postback.subscriber")

    again = [heard for heard in everything[10:] if heard.event["sequence"] != 11]
    assert sorted(h.id for h in first if h.event["sequence"] > 4) == sorted(heard.id for heard in again)
    assert everything[-1] in again, "what is new waited for the replay"
    assert again[-1].at - again[0].at >= 5 / 10 * 0.6
    assert (17, None) == (len(app.heard), replaying)


async def test_a_person_may_have_a_dead_delivery_tried_again(installed: Installed) -> None:
    async with running_app(answering(*[500] * 10)) as app:
        made = await installed.subscribe(app)
        await installed.tell("T1")
        installed.forward(Terms(pauses=(0.02,) * 9, poll=0.02, flush=0.02, tick=0.1, down_after=100))
        [dead] = await installed.written(made, "dead", within=10)
        await installed.post(f"/v1/deliveries/{dead['id']}/retry")
        [row] = await installed.written(made, "delivered")
        await installed.post(f"/v1/deliveries/{dead['id']}/retry")
        await app.first(12)
        [twice] = await installed.written(made, "delivered")

    assert 10 == len(dead["attempts"])
    assert {"at", "status", "ms", "answer", "error"} == dead["attempts"][0].keys()
    assert (500, "as ordered") == (dead["attempts"][0]["status"], dead["attempts"][0]["answer"])
    assert dead["next_at"] is None
    assert (11, 12) == (len(row["attempts"]), len(twice["attempts"]))
    assert 1 == len({(heard.id, heard.body) for heard in app.heard})


async def test_secrets_lie_encrypted_and_an_older_key_reads_them(installed: Installed) -> None:

    made = await installed.subscribe("https://app.example.com/events")
    kept = await installed.db.fetchval("SELECT secret FROM postback.subscriber")
    plain = Secrets(["a new key", "a key for tests"]).decrypt("subscriber", kept)
    with pytest.raises(Undecryptable):
        Secrets(["a new key"]).decrypt("subscriber", kept)
    with pytest.raises(Undecryptable):
        SECRETS.decrypt("something else", kept)

    assert made["secret"] == shown(plain)
    assert plain not in kept


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
        "POSTBACK_SECRET_KEY": "a key for tests",
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
        killed = time.monotonic()
        await asyncio.sleep(0.2)  # what was under way is still taken
        with command("forward", cwd=installed.data_dir, **variables) as second:
            await app.taken(len(app.took) + 1, within=20)
            took_over = time.monotonic() - killed
            async with asyncio.timeout(10):
                while len({one.id for one in app.took}) < 400:
                    await app.taken(len(app.took) + 1, within=10)
            await installed.until(f"/v1/subscribers/{made['id']}", lag=0)
            code = await asyncio.to_thread(second.ends)
        feed = await installed.db.fetch("SELECT id FROM postback.event")
        expected = {str(row["id"]) for row in feed}

    assert expected == {heard.id for heard in app.took}
    assert took_over < 10
    assert 0 == code
    # what was written down before the end is not sent again
    assert len(app.heard) < 400 + 200


async def test_an_opt_out_that_no_message_says_is_told_without_one(installed: Installed) -> None:
    async with running_app() as app:
        made = await installed.subscribe(app)
        installed.forward()
        for method in ("PUT", "DELETE"):
            answer = await installed.api.request(method, "/v1/opt-outs/%2B18885551234/%2B12065550123")
            assert 200 == answer.status_code, answer.text
        heard = await app.first(2)
        rows = await installed.written(made, "delivered", "delivered")

    assert ["contact.opted_out", "contact.opted_in"] == [one.content["type"] for one in heard]
    assert [None, None] == [one.content["data"]["message"] for one in heard]
    assert ("+18885551234", "+12065550123") == (heard[0].event["our_number"], heard[0].event["contact"])
    assert [one.id for one in heard] == [row["event_id"] for row in rows]


async def test_what_waits_to_be_tried_again_tells_nothing_that_was_redacted(installed: Installed) -> None:
    async with running_app(answering(500)) as app:
        made = await installed.subscribe(app)
        await installed.tell("T1")
        installed.forward(replace(QUICK, pauses=(60.0,) * 9))
        [row] = await installed.written(made, "waiting")
        await installed.stop()
        message_id = app.heard[0].event["message_id"]
        await installed.post(f"/v1/messages/{message_id}/redact")
        await installed.post(f"/v1/deliveries/{row['id']}/retry")
        installed.forward()
        [first, second] = await app.first(2)

    assert "+12065550123" == first.content["data"]["message"]["to"]
    assert first.id == second.id
    assert second.content["data"]["message"]["to"] != "+12065550123"


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
