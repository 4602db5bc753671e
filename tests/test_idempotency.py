"""An Idempotency-Key holds whatever happens between two requests, and between two processes."""

import asyncio
from typing import Any

import httpx

from receiver import config
from receiver.app import App
from tests.support.beds import connect
from tests.support.carrier import running
from tests.support.installation import CHANNEL, THEM, US, installation

ROUNDS = 30
BODY = {"to": THEM, "text": "Hello"}


async def test_a_used_key_answers_as_it_did_although_its_channel_is_gone(database_url: str) -> None:
    async with installation(database_url, sender=False) as home:
        body = {**BODY, "channel": CHANNEL}
        key = {"Idempotency-Key": "k1"}
        first = await home.api.post("/v1/messages", json=body, headers=key)
        another = {
            "other-us": {"provider": "swift", "tokens": ["a-token-of-tests"], "from": [US], "api_key": "k"}
        }
        settings = home.settings.model_copy(update={"channels": _channels(database_url, another)})

        async with running(App(settings)) as url:
            headers = dict(home.api.headers)
            async with httpx.AsyncClient(base_url=url, headers=headers) as api:
                again = await api.post("/v1/messages", json=body, headers=key)
                other_body = await api.post("/v1/messages", json={**body, "text": "Bye"}, headers=key)
                other_key = await api.post("/v1/messages", json=body, headers={"Idempotency-Key": "k2"})

    assert (202, "true") == (again.status_code, again.headers.get("idempotency-replayed"))
    assert first.json() == again.json()
    assert (422, "idempotency_conflict") == (other_body.status_code, other_body.json()["code"])
    assert (422, "unknown_channel") == (other_key.status_code, other_key.json()["code"])


async def test_a_key_used_at_once_in_two_processes_makes_its_messages_once(database_url: str) -> None:
    async with (
        installation(database_url, sender=False) as home,
        running(App(home.settings)) as beside,
        httpx.AsyncClient(base_url=beside, headers=dict(home.api.headers)) as other,
    ):
        pairs = [await asyncio.gather(*_both(home.api, other, f"k{n}")) for n in range(ROUNDS)]

    db = await connect(database_url)
    written = await db.fetchval("SELECT count(*) FROM postback.message")
    queued = await db.fetchval("SELECT count(*) FROM postback.outbox")
    await db.close()
    made = [{one.json()["data"][0]["id"] for one in pair} for pair in pairs]
    replayed = [sum("idempotency-replayed" in one.headers for one in pair) for pair in pairs]
    assert [202] * 2 * ROUNDS == [one.status_code for pair in pairs for one in pair]
    assert [1] * ROUNDS == [len(ids) for ids in made] == replayed
    assert (ROUNDS, ROUNDS) == (written, queued)


async def test_the_second_waits_for_the_first_to_commit_and_answers_with_its_messages(
    database_url: str,
) -> None:
    """Whichever way the two interleave: here the first one's transaction is held open."""
    async with installation(database_url, sender=False) as home:
        made = (await home.api.post("/v1/messages", json=BODY, headers={"Idempotency-Key": "k1"})).json()
        db = await connect(database_url)
        kept = await db.fetchrow("DELETE FROM postback.idempotency RETURNING *")
        first = db.transaction()
        await first.start()
        await db.execute("INSERT INTO postback.idempotency VALUES ($1, $2, $3, $4, $5)", *kept)

        second = asyncio.create_task(
            home.api.post("/v1/messages", json=BODY, headers={"Idempotency-Key": "k1"})
        )
        await asyncio.sleep(0.2)
        assert not second.done()
        await first.commit()
        answer = await second
        written = await db.fetchval("SELECT count(*) FROM postback.message")
        await db.close()

    assert (202, "true") == (answer.status_code, answer.headers.get("idempotency-replayed"))
    assert made == answer.json()
    assert 1 == written


def _both(one: httpx.AsyncClient, other: httpx.AsyncClient, key: str) -> list[Any]:
    return [
        client.post("/v1/messages", json=BODY, headers={"Idempotency-Key": key}) for client in (one, other)
    ]


def _channels(database_url: str, channels: dict[str, Any]) -> dict[str, Any]:
    return config.settings({"database_url": database_url, "channels": channels}).channels
