"""Events reach apps: signed, in order, and again when that is needed."""

import asyncio
import base64
import hmac
import itertools
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from standardwebhooks import WebhookVerificationError
from starlette.responses import Response, StreamingResponse

from receiver.forward import Terms
from receiver.secrets import Secrets, Undecryptable
from receiver.subscribers import shown
from tests.support.api import SECRETS
from tests.support.app import Heard, running_app
from tests.support.forwarding import QUICK, Installed, answering, forwarding
from tests.support.names import resolve

pytestmark = pytest.mark.stock


@pytest.fixture
async def installed(database_url: str, tmp_path: Path) -> AsyncIterator[Installed]:
    async with forwarding(database_url, tmp_path) as made:
        yield made


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


@pytest.mark.parametrize(
    "headers",
    [
        {"Retry-After": "1"},
        {"Retry-After": "1.1"},
        {"Retry-After": "Sat, 21 Nov 2020 12:00:01 GMT", "Date": "Sat, 21 Nov 2020 12:00:00 GMT"},
    ],
    ids=["seconds", "decimal", "date"],
)
async def test_retry_after_is_waited_for(installed: Installed, headers: dict[str, str]) -> None:
    async with running_app(answering(503, headers=headers)) as app:
        await installed.subscribe(app)
        await installed.tell("T1")
        installed.forward()
        first, second = await app.first(2)

    assert second.at - first.at >= 1


def test_the_schedule_has_ten_tries_in_three_days() -> None:
    terms = Terms(jitter=0)
    pauses = [terms.pause(tries, None) for tries in range(1, terms.tries)]

    assert [5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400] == pauses
    assert 400 == terms.pause(2, 400.0)
    assert all(4.5 <= Terms().pause(1, None) <= 5.5 for _ in range(100))


async def test_a_2xx_without_an_end_is_a_delivery_and_of_its_answer_the_start_is_kept(
    installed: Installed,
) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 4096
            await asyncio.sleep(0)

    async def hanging() -> AsyncIterator[bytes]:
        yield b"yes"
        await asyncio.sleep(60)

    async def manner(heard: Heard) -> Response:
        return StreamingResponse(endless() if heard.event["sequence"] == 1 else hanging())

    async with running_app(manner) as app:
        made = await installed.subscribe(app)
        await installed.tell("T1", "T2")
        installed.forward()
        written = await installed.written(made, "delivered", "delivered")
        await installed.stop()

    [long, slow] = sorted(written, key=lambda row: row["event_id"])
    assert [(200, "x" * 2048)] == [(one["status"], one["answer"]) for one in long["attempts"]]
    assert [(200, "yes")] == [(one["status"], one["answer"]) for one in slow["attempts"]]


async def test_an_answer_whose_status_does_not_come_is_none(installed: Installed) -> None:
    async def manner(_: Heard) -> Response:
        await asyncio.sleep(60)
        return Response()

    async with running_app(manner) as app:
        made = await installed.subscribe(app)
        await installed.tell("T1")
        installed.forward(replace(QUICK, deadline=0.3, pauses=(60.0,) * 9))
        [row] = await installed.written(made, "waiting")
        await installed.stop()

    [attempt] = row["attempts"]
    assert (None, "no answer came within 0.3 s") == (attempt["status"], attempt["error"])


async def test_a_subscriber_with_a_dead_address_hears_everything_at_the_first_try(
    installed: Installed, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders = itertools.cycle([["127.0.0.2", "127.0.0.1"], ["127.0.0.1", "127.0.0.2"]])
    resolve(monkeypatch, {"two.example": lambda: next(orders)})
    async with running_app() as app:
        made = await installed.subscribe(app.url.replace("127.0.0.1", "two.example"))
        await installed.tell(*(f"T{number}" for number in range(40)))
        installed.forward()
        rows = await installed.written(made, *["delivered"] * 40)

    assert [1] * 40 == [len(row["attempts"]) for row in rows]


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


async def test_each_of_many_rotated_secrets_signs_for_its_own_time(installed: Installed) -> None:
    async with running_app() as app:
        made = await installed.subscribe(app)
        path = f"/v1/subscribers/{made['id']}/rotate"
        rotated = [await installed.post(path), await installed.post(path, grace_seconds=3600)]
        rotated += [await installed.post(path) for _ in range(9)]
        secrets = [one["secret"] for one in (made, *rotated)]
        installed.forward(replace(QUICK, clock=lambda: datetime.now(UTC) + timedelta(minutes=59)))
        await installed.tell("T1")
        [soon] = await app.first(1)
        await installed.stop()
        # the second one was replaced with an hour's grace
        installed.forward(replace(QUICK, clock=lambda: datetime.now(UTC) + timedelta(minutes=61)))
        await installed.tell("T2")
        later = (await app.first(2))[1]
        await installed.stop()
        installed.forward(replace(QUICK, clock=lambda: datetime.now(UTC) + timedelta(hours=25)))
        await installed.tell("T3")
        last = (await app.first(3))[2]

    assert 12 == len(set(secrets))
    assert [*reversed(secrets)] == signers(soon, secrets)
    assert [*reversed([secrets[0], *secrets[2:]])] == signers(later, secrets)
    assert [secrets[-1]] == signers(last, secrets)


async def test_a_rotation_without_grace_ends_every_earlier_secret_at_once(installed: Installed) -> None:
    async with running_app() as app:
        made = await installed.subscribe(app)
        path = f"/v1/subscribers/{made['id']}/rotate"
        secrets = [made["secret"]] + [(await installed.post(path))["secret"] for _ in range(3)]
        installed.forward()
        await installed.tell("T1")
        [before] = await app.first(1)
        secrets.append((await installed.api.post(path, json={"grace_seconds": 0})).json()["secret"])
        await asyncio.sleep(0.3)
        await installed.tell("T2")
        after = (await app.first(2))[1]

    assert 4 == len(signers(before, secrets))
    for secret in secrets[:4]:
        before.verify(secret)
    assert [secrets[-1]] == signers(after, secrets)


async def test_of_very_many_secrets_those_that_end_first_sign_no_longer(installed: Installed) -> None:
    async with running_app() as app:
        made = await installed.subscribe(app)
        path = f"/v1/subscribers/{made['id']}/rotate"
        short = await installed.post(path)
        await installed.post(path, grace_seconds=60)
        secrets = [(await installed.post(path))["secret"] for _ in range(50)]
        installed.forward()
        await installed.tell("T1")
        [heard] = await app.first(1)

    assert secrets[::-1] == signers(heard, [made["secret"], short["secret"], *secrets])
    assert len(heard.headers["webhook-signature"]) < 4096


async def test_an_earlier_secret_whose_time_is_over_may_lie_under_a_key_that_is_gone(
    installed: Installed,
) -> None:
    async with running_app() as app:
        made = await installed.subscribe(app)
        rotated = await installed.post(f"/v1/subscribers/{made['id']}/rotate")
        await installed.db.execute(
            "UPDATE postback.subscriber SET previous_secret = $1, previous_until = now()", b"x" * 64
        )
        installed.forward()
        await installed.tell("T1")
        [heard] = await app.first(1)

    heard.verify(rotated["secret"])


async def test_the_version_before_finds_the_secret_that_was_replaced_last(installed: Installed) -> None:
    """It reads and writes one previous secret, and nothing of those before."""
    async with running_app() as app:
        made = await installed.subscribe(app)
        path = f"/v1/subscribers/{made['id']}/rotate"
        first, second = await installed.post(path), await installed.post(path)
        row = await installed.db.fetchrow("SELECT * FROM postback.subscriber")
        kept = SECRETS.decrypt("subscriber", row["previous_secret"])
        # as it rotates
        newest = b"n" * 32
        await installed.db.execute(
            "UPDATE postback.subscriber SET previous_secret = secret, secret = $1,"
            " previous_until = now() + interval '24 hours'",
            SECRETS.encrypt("subscriber", newest),
        )
        installed.forward()
        await installed.tell("T1")
        [heard] = await app.first(1)

    assert first["secret"] == shown(kept)
    assert [shown(newest), second["secret"], made["secret"]] == signers(
        heard, [made["secret"], first["secret"], second["secret"], shown(newest)]
    )


def signers(heard: Heard, secrets: list[str]) -> list[str]:
    """Those of *secrets* that signed it, in the order of the signatures."""
    signed = b".".join([heard.id.encode(), heard.headers["webhook-timestamp"].encode(), heard.body])
    by_signature = {
        base64.b64encode(
            hmac.digest(base64.b64decode(secret.removeprefix("whsec_")), signed, "sha256")
        ).decode(): secret
        for secret in secrets
    }
    return [by_signature[one.removeprefix("v1,")] for one in heard.headers["webhook-signature"].split()]


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
        [dead] = await installed.written(made, "dead")
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
    plain = Secrets(["a new key for tests", "a secret key for tests"]).decrypt("subscriber", kept)
    with pytest.raises(Undecryptable):
        Secrets(["a new key for tests"]).decrypt("subscriber", kept)
    with pytest.raises(Undecryptable):
        SECRETS.decrypt("something else", kept)

    assert made["secret"] == shown(plain)
    assert plain not in kept


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
