"""API keys and the secret key behind them."""

import asyncio
import secrets as random
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from sqlalchemy import event
from sqlmodel import col, select, update

from models import ApiKey
from receiver import db, keyring, secrets
from receiver.auth import Auth, create_key, list_keys, revoke_key
from receiver.config import ConfigError, Settings
from receiver.keyring import Keyring
from receiver.problems import Problem
from receiver.secrets import Secrets
from tests.support.api import SECRETS, Api, running

MESSAGES = "/v1/messages"
OLD, NEW = "the old key of the tests", "the new key of the tests"


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[Api]:
    async with running(database_url) as served:
        yield served


async def test_without_a_known_key_the_answer_is_401(api: Api) -> None:
    unknown = (
        b"",
        b"Bearer",
        b"Bearer pb_x.y",
        b"Bearer pb_\xe9.x",
        b"bearer \x7f",
        b"Basic abc",
        b"Bearer pb_" + b"0" * 32 + b".x",
    )
    for authorization in unknown:
        response = await api.client.get(MESSAGES, headers=[(b"Authorization", authorization)])

        assert (authorization, 401, "unauthorized", "Bearer") == (
            authorization,
            response.status_code,
            response.json()["code"],
            response.headers["www-authenticate"],
        )


async def test_a_key_with_a_wrong_secret_is_401(api: Api) -> None:
    headers = await api.key("read")

    response = await api.client.get(MESSAGES, headers={"Authorization": headers["Authorization"][:-1] + "~"})
    other = await api.client.get(MESSAGES, headers={"Authorization": headers["Authorization"] + "A"})

    assert [401, 401] == [response.status_code, other.status_code]


async def test_a_key_may_do_what_its_scopes_say_and_no_more(api: Api) -> None:
    answers = {}
    for scope in ("read", "send", "admin"):
        headers = await api.key(scope)
        answers[scope] = [
            (await api.client.get(MESSAGES, headers=headers)).status_code,
            (await api.client.post(MESSAGES, json={"to": "+12065550123"}, headers=headers)).status_code,
            (await api.client.get("/v1/payloads", headers=headers)).status_code,
        ]

    assert {"read": [200, 403, 403], "send": [403, 202, 403], "admin": [403, 403, 200]} == answers


async def test_a_revoked_key_works_no_longer_than_the_cache(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = await api.key("read")
    before = await api.client.get(MESSAGES, headers=headers)
    key_id = UUID(headers["Authorization"].removeprefix("Bearer pb_").partition(".")[0])

    revoked = await revoke_key(api.engine, key_id)
    monkeypatch.setattr(keyring, "TRUST", 0.0)
    after = await api.client.get(MESSAGES, headers=headers)

    assert revoked
    assert [200, 401] == [before.status_code, after.status_code]
    assert not await revoke_key(api.engine, uuid4())


async def test_only_a_hash_of_a_key_is_kept(api: Api) -> None:
    key = await create_key(api.engine, SECRETS, name="shop", channels=["b", "a"])

    row = (await list_keys(api.engine))[-1]

    assert key.startswith(f"pb_{row.id.hex}.")
    assert ("shop", ["read"], ["a", "b"], None) == (
        row.name,
        row.scopes,
        row.channels,
        row.revoked_at,
    )
    assert key.partition(".")[2].encode() not in row.secret_hash
    async with api.engine.connect() as connection:
        assert 2 == len((await connection.execute(select(ApiKey.id))).all())


async def test_a_key_needs_a_name_and_known_scopes(api: Api) -> None:
    for name, scopes in (("", ["read"]), ("x", []), ("x", ["write"])):
        with pytest.raises(ValueError):
            await create_key(api.engine, SECRETS, name=name, scopes=scopes)


async def test_a_key_made_under_the_old_secret_key_works_until_that_is_dropped(api: Api) -> None:
    key = await create_key(api.engine, Secrets([OLD]), name="x")

    both, new = (Auth(api.engine, Secrets(keys), 10) for keys in ([NEW, OLD], [NEW]))
    principal = await both.authenticate(both.presented(f"Bearer {key}"))
    with pytest.raises(Problem) as refused:
        new.presented(f"Bearer {key}")

    assert ("x", 401) == (principal.name, refused.value.status)


async def test_an_invented_key_is_refused_without_asking_postgres(api: Api) -> None:
    engine = db.engine("postgresql://nobody@127.0.0.1:1/none", size=1)
    away, key = Auth(engine, SECRETS, 10), await create_key(api.engine, SECRETS, name="x")
    invented = key[:40] + ("A" if key[40] != "A" else "B") + key[41:]

    with pytest.raises(Problem) as refused:
        away.presented(f"Bearer {invented}")

    assert 401 == refused.value.status
    assert away.presented(f"Bearer {key}").proven


async def test_a_key_from_before_keys_had_proofs_works(api: Api) -> None:
    key = (await _key_without_proof(api))["Authorization"]

    answers = [
        (await api.client.get(MESSAGES, headers={"Authorization": sent})).status_code
        for sent in (key, key[:-1] + ("A" if key[-1] != "A" else "B"), key + "A" * 22)
    ]

    assert [200, 401, 401] == answers


async def test_a_thousand_invented_keys_cost_a_handful_of_statements(api: Api) -> None:
    statements: list[str] = []
    event.listen(api.engine.sync_engine, "before_cursor_execute", lambda *told: statements.append(told[2]))
    invented = [f"Bearer pb_{uuid4().hex}.{'x' * 43}" for _ in range(1000)]
    genuine = await _key_without_proof(api)
    await api.client.get(MESSAGES, headers=genuine)
    statements.clear()

    answers = await asyncio.gather(
        *(api.client.get(MESSAGES, headers={"Authorization": sent}) for sent in invented),
    )

    assert {401} == {answer.status_code for answer in answers}
    asked = [statement for statement in statements if "api_key" in statement]
    assert 1 <= len(asked) <= 8
    assert 200 == (await api.client.get(MESSAGES, headers=genuine)).status_code


async def test_more_unknown_keys_than_may_wait_are_asked_to_come_again(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyring, "MOST_WAITING", 5)
    invented = [f"Bearer pb_{uuid4().hex}.{'x' * 43}" for _ in range(50)]
    proven = await api.key("read")

    *answers, known = await asyncio.gather(
        *(api.client.get(MESSAGES, headers={"Authorization": sent}) for sent in invented),
        api.client.get(MESSAGES, headers=proven),
    )

    assert {401, 503} == {answer.status_code for answer in answers}
    assert {"5"} == {answer.headers["retry-after"] for answer in answers if answer.status_code == 503}
    assert 200 == known.status_code


async def test_invented_keys_push_no_key_out_of_the_memory(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyring, "REMEMBERED", 3)
    ring, (known, *_) = Keyring(api.engine), await list_keys(api.engine)
    await ring.key(known.id, proven=True)
    for _ in range(10):
        assert None is await ring.key(uuid4(), proven=False)

    await revoke_key(api.engine, known.id)  # which is seen where the key is read anew

    assert None is getattr(await ring.key(known.id, proven=True), "revoked_at", "no key")


async def _key_without_proof(api: Api) -> dict[str, str]:
    """The headers of a key as it was made before keys had proofs."""
    made = await create_key(api.engine, SECRETS, name="older", scopes=["read"])
    key_id = UUID(made.removeprefix("pb_").partition(".")[0])
    key = f"pb_{key_id.hex}.{random.token_urlsafe(32)}"
    digest = SECRETS.keyed_hash("api-key", key.encode())
    async with api.engine.begin() as connection:
        await connection.execute(update(ApiKey).where(col(ApiKey.id) == key_id).values(secret_hash=digest))
    return {"Authorization": f"Bearer {key}"}


async def test_a_key_over_its_rate_is_told_when_to_come_again(database_url: str) -> None:
    async with running(database_url, rate=2) as api:
        answers = [await api.client.get(MESSAGES) for _ in range(3)]
        other = await api.client.get(MESSAGES, headers=await api.key("read"))

    assert [200, 200, 429] == [answer.status_code for answer in answers]
    assert ("too_many_requests", "1") == (answers[2].json()["code"], answers[2].headers["retry-after"])
    assert '"default";q=2;w=1' == answers[0].headers["ratelimit-policy"]
    assert ['"default";r=1;t=1', '"default";r=0;t=1'] == [a.headers["ratelimit"] for a in answers[:2]]
    assert 200 == other.status_code


async def test_the_embedded_databases_secret_key_is_made_once_and_private(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "new")

    first, second = secrets.load(settings), secrets.load(settings)

    assert first.keyed_hash("x", b"y") == second.keyed_hash("x", b"y")
    path = tmp_path / "new" / "secret_key"
    assert [0o700, 0o600] == [stat.S_IMODE(one.stat().st_mode) for one in (path.parent, path)]
    assert [path] == list(path.parent.iterdir())


def test_a_database_of_ones_own_needs_a_secret_key_of_ones_own() -> None:
    with pytest.raises(ConfigError, match="secret_key is required with database_url"):
        secrets.load(Settings(database_url="postgresql://x/y"))


def test_an_empty_secret_key_is_refused() -> None:
    with pytest.raises(ConfigError, match="secret_key is empty"):
        secrets.load(Settings(secret_key=[""]))


def test_hashes_of_one_purpose_are_not_those_of_another() -> None:
    digest = SECRETS.keyed_hash("a", b"value")

    assert SECRETS.matches("a", b"value", digest)
    assert not SECRETS.matches("b", b"value", digest)
    assert not SECRETS.matches("a", b"other", digest)


async def test_a_wrong_secret_key_refuses_to_start_and_a_rotated_one_does_not(api: Api) -> None:
    await Secrets([OLD]).check(api.engine)
    await Secrets([OLD]).check(api.engine)
    with pytest.raises(ConfigError, match="not the one"):
        await Secrets([NEW]).check(api.engine)

    await Secrets([NEW, OLD]).check(api.engine)
    await Secrets([NEW]).check(api.engine)
