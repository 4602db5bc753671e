"""Keys of one name: what they share so that a key can be replaced, and what they never do."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from receiver.auth import create_key, list_keys, revoke_key, scope_of
from tests.support.api import SECRETS, Api, running
from tests.support.commands import run
from tests.support.media import PNG, THEM, Home, home

SINCH, SWIFT = ["sinch"], ["swift"]


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[Api]:
    async with running(database_url) as served:
        yield served


@pytest.fixture
async def here(database_url: str, tmp_path: Path) -> AsyncIterator[Home]:
    async with home(database_url, tmp_path) as found:
        yield found


async def keys(here: Home, *bound: Sequence[str] | None) -> list[str]:
    """Returns keys of one name, as versions made them that looked at no others."""
    made = [
        await create_key(
            here.app._engine,
            here.app._secrets,
            name=f"key {number}",
            scopes=["read", "send"],
            channels=channels,
        )
        for number, channels in enumerate(bound)
    ]
    await here.rows("UPDATE postback.api_key SET name = 'shop' WHERE name LIKE 'key %'")
    return made


async def sent(here: Home, key: str, once: str, **fields: Any) -> Any:
    headers = {"Idempotency-Key": once}
    body = {"to": THEM, "media": [{"url": "https://example.com/a.png"}], **fields}
    return await here.post("/v1/messages", key=key, headers=headers, json=body)


@pytest.mark.parametrize("other", [SWIFT, ["sinch", "swift"], None])
async def test_a_key_sends_no_upload_of_one_of_its_name_that_sees_other_channels(
    here: Home, other: list[str] | None
) -> None:
    own, foreign = await keys(here, SINCH, other)
    theirs = (await here.post("/v1/media", key=foreign, content=PNG)).json()["id"]

    answer = await sent(here, own, "k", channel="sinch", media=[{"id": theirs}])

    assert (422, "media_error") == (answer.status_code, answer.json()["code"])


@pytest.mark.parametrize("bound", [SINCH, None])
async def test_what_a_key_uploaded_and_sent_is_known_of_the_key_that_replaces_it(
    here: Home, bound: list[str] | None
) -> None:
    old, new = await keys(here, bound, bound)
    uploaded = (await here.post("/v1/media", key=old, content=PNG)).json()["id"]
    body = {"channel": "sinch", "media": [{"id": uploaded}]}

    first = await sent(here, old, "k", **body)
    again = await sent(here, new, "k", **body)

    assert [202, 202] == [first.status_code, again.status_code], again.text
    assert "true" == again.headers["idempotency-replayed"]
    assert first.json() == again.json()


@pytest.mark.parametrize(("other", "fields"), [(SWIFT, {}), (["sinch", "swift"], {"channel": "sinch"})])
async def test_the_idempotency_key_of_a_key_for_other_channels_is_another(
    here: Home, other: list[str], fields: dict[str, str]
) -> None:
    own, foreign = await keys(here, SINCH, other)

    answers = [await sent(here, key, "k", **fields) for key in (foreign, own)]

    assert [202, 202] == [answer.status_code for answer in answers]
    assert "idempotency-replayed" not in answers[1].headers
    assert answers[0].json()["data"][0]["id"] != answers[1].json()["data"][0]["id"]
    assert ["sinch"] == [message["channel"] for message in answers[1].json()["data"]]


async def test_what_a_version_before_sent_for_a_bound_key_is_not_sent_again(here: Home) -> None:
    own, foreign = await keys(here, SINCH, SWIFT)
    first = await sent(here, own, "k", channel="sinch")
    await here.rows("UPDATE postback.idempotency SET scope = 'shop'")

    again = await sent(here, own, "k", channel="sinch")
    elsewhere = await sent(here, foreign, "k", channel="sinch")
    another = await sent(here, own, "k", channel="sinch", text="Bye")

    assert first.json() == again.json()
    assert (422, "unknown_channel") == (elsewhere.status_code, elsewhere.json()["code"])
    assert (202, None) == (another.status_code, another.headers.get("idempotency-replayed"))


async def test_what_a_key_does_not_see_of_an_earlier_request_is_a_conflict_and_no_empty_answer(
    here: Home,
) -> None:
    own, _ = await keys(here, SINCH, None)
    theirs = await sent(here, here.key, "k", channel="sinch")
    await here.rows("UPDATE postback.message SET channel = 'swift'")
    await here.rows("UPDATE postback.idempotency SET scope = $1", scope_of("shop", frozenset(SINCH)))

    answer = await sent(here, own, "k", channel="sinch")

    assert 202 == theirs.status_code
    assert (422, "idempotency_conflict") == (answer.status_code, answer.json()["code"])
    assert "may not see" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("first", "second"), [(["a"], ["b"]), (["a"], ["a", "b"]), (["a"], None), (None, ["a"])]
)
async def test_a_name_is_not_given_to_a_second_key_that_sees_other_channels(
    api: Api, first: list[str] | None, second: list[str] | None
) -> None:
    await create_key(api.engine, SECRETS, name="shop", channels=first)

    with pytest.raises(ValueError, match=r'"shop" is the name of a key that sees (a|all channels),'):
        await create_key(api.engine, SECRETS, name="shop", channels=second)


@pytest.mark.parametrize("channels", [["b", "a"], None])
async def test_a_key_is_replaced_by_one_of_its_name_and_channels(
    api: Api, channels: list[str] | None
) -> None:
    for given in (channels, channels and sorted(channels)):
        await create_key(api.engine, SECRETS, name="shop", channels=given)

    assert 2 == sum(key.name == "shop" for key in await list_keys(api.engine))


async def test_the_name_of_a_key_that_was_revoked_or_expired_is_free(api: Api) -> None:
    await create_key(api.engine, SECRETS, name="revoked", channels=["a"])
    await create_key(
        api.engine, SECRETS, name="expired", channels=["a"], expires_at=datetime.now(UTC) + timedelta(days=1)
    )
    async with api.engine.begin() as connection:
        await connection.exec_driver_sql(
            "UPDATE postback.api_key SET expires_at = now() - interval '1 second' WHERE name = 'expired'"
        )
    [revoked] = [key.id for key in await list_keys(api.engine) if key.name == "revoked"]
    await revoke_key(api.engine, revoked)

    made = [
        await create_key(api.engine, SECRETS, name=name, channels=["b"]) for name in ("revoked", "expired")
    ]

    assert 2 == len(set(made))


def test_the_command_says_why_a_name_is_refused(database_url: str, tmp_path: Path) -> None:
    channel = {"provider": "sinch_mms", "tokens": ["a-token-for-these-tests"]}
    settings = {
        "POSTBACK_DATABASE_URL": database_url,
        "POSTBACK_SECRET_KEY": '["a secret key for tests"]',
        "POSTBACK_CHANNELS": str({"sms": channel, "mms": channel}).replace("'", '"'),
    }
    made = [
        run("keys", "create", "--name", "shop", "--channel", bound, cwd=tmp_path, **settings)
        for bound in ("mms", "mms", "sms")
    ]

    assert [0, 0, 1] == [code for code, _, _ in made]
    assert (
        'The key cannot be made: "shop" is the name of a key that sees mms, and keys of one name see the '
        "same channels; choose another name, or revoke that key first.\n" == made[2][2]
    )
