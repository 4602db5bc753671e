"""Keys that end by themselves, when they were last used, and what may be asked for when one is made."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import event, text
from sqlmodel import col, update

from models import ApiKey
from receiver import keyuse
from receiver.auth import create_key, list_keys
from tests.support.api import SECRETS, Api, running
from tests.support.commands import run
from tests.support.patience import PATIENCE

MESSAGES = "/v1/messages"
CHANNELS = '{"sinch-us": {"provider": "sinch_mms", "tokens": ["a-token-for-these-tests"]}}'


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[Api]:
    async with running(database_url) as served:
        yield served


async def asked(api: Api, key: str) -> tuple[int, str]:
    """The status of a request with *key*, and what the answer says of it."""
    answer = await api.client.get(MESSAGES, headers={"Authorization": f"Bearer {key}"})
    return answer.status_code, answer.json().get("detail", "")


async def test_a_key_works_until_it_expires_and_is_then_told_so(api: Api) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=1.5)
    key = await create_key(api.engine, SECRETS, name="guest", expires_at=soon)
    before = await asked(api, key)
    await asyncio.sleep((soon - datetime.now(UTC)).total_seconds() + 0.05)

    assert 200 == before[0]
    assert (401, f"This API key expired at {soon:%Y-%m-%dT%H:%M:%SZ}.") == await asked(api, key)


async def test_a_stranger_who_knows_its_id_is_not_told_that_a_key_has_expired(api: Api) -> None:
    key = await create_key(api.engine, SECRETS, name="guest")
    past = datetime.now(UTC) - timedelta(days=1)
    async with api.engine.begin() as connection:
        await connection.execute(update(ApiKey).where(col(ApiKey.name) == "guest").values(expires_at=past))
    head, _, _ = key.partition(".")

    assert (401, "This API key is unknown or revoked.") == await asked(api, f"{head}.{'A' * 43}")
    assert "expired" in (await asked(api, key))[1]


@pytest.mark.parametrize(
    ("channels", "expires_at"),
    [([], None), ([""], None), (["a", ""], None), (None, datetime(2026, 1, 1, tzinfo=UTC))],
)
async def test_a_key_of_no_channel_or_of_the_past_is_not_made(
    api: Api, channels: list[str] | None, expires_at: datetime | None
) -> None:
    with pytest.raises(ValueError):
        await create_key(api.engine, SECRETS, name="x", channels=channels, expires_at=expires_at)


async def last_used(api: Api, name: str) -> datetime | None:
    return next(key.last_used_at for key in await list_keys(api.engine) if key.name == name)


async def until_used(api: Api, name: str, after: datetime) -> datetime:
    """When *name* was last used, once that is later than *after*. Raises ``TimeoutError``."""
    async with asyncio.timeout(PATIENCE):
        while True:
            used = await last_used(api, name)
            if used and used > after:
                return used
            await asyncio.sleep(0.02)


async def test_the_use_of_a_key_is_written_at_most_once_a_minute(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await create_key(api.engine, SECRETS, name="shop")
    writes: list[str] = []
    event.listen(
        api.engine.sync_engine,
        "before_cursor_execute",
        lambda *given: writes.append(given[2]) if "last_used_at=" in given[2] else None,
    )
    began = datetime.now(UTC)
    assert await last_used(api, "shop") is None
    answers = [await asked(api, key) for _ in range(20)]
    used = await until_used(api, "shop", began)

    assert {200} == {status for status, _ in answers}
    assert began <= used <= datetime.now(UTC)
    assert 1 == len(writes)

    monkeypatch.setattr(keyuse, "EVERY", 0.0)
    await asked(api, key)
    assert await until_used(api, "shop", used) > used


async def test_a_use_that_was_refused_is_none(api: Api) -> None:
    key = await create_key(api.engine, SECRETS, name="shop")

    assert 401 == (await asked(api, key[:-30] + "A" * 30))[0]
    assert await last_used(api, "shop") is None


async def test_a_request_does_not_wait_until_its_keys_use_is_written(api: Api) -> None:
    key = await create_key(api.engine, SECRETS, name="shop")
    async with api.engine.connect() as other:
        await other.execute(text("SELECT * FROM postback.api_key FOR UPDATE"))
        assert 200 == (await asked(api, key))[0]
        await other.rollback()
    assert await until_used(api, "shop", datetime.now(UTC) - timedelta(minutes=1))


@pytest.fixture
def database(database_url: str) -> dict[str, str]:
    return {
        "DATABASE_URL": database_url,
        "POSTBACK_SECRET_KEY": "a secret key for tests",
        "POSTBACK_CHANNELS": CHANNELS,
    }


@pytest.mark.parametrize(
    ("channel", "said"),
    [
        ("", 'There is no channel ""; the nearest one is "sinch-us".'),
        ("sinch-su", 'There is no channel "sinch-su"; the nearest one is "sinch-us".'),
        ("sinch-us,", 'There is no channel ""; the nearest one is "sinch-us".'),
    ],
)
def test_a_key_for_a_channel_that_there_is_not_is_an_error(
    tmp_path: Path, database: dict[str, str], channel: str, said: str
) -> None:
    code, output, errors = run(
        "keys", "create", "--name", "x", "--channel", channel, cwd=tmp_path, **database
    )

    assert (1, "", f"{said} Without --channel a key sees all of them.\n") == (code, output, errors)


@pytest.mark.parametrize(
    ("expires", "said"),
    [
        ("tomorrow", '--expires is days such as 30d, or a date such as 2027-01-31; it is "tomorrow".'),
        ("2026-01-01", "The key cannot be made: 2026-01-01T00:00:00Z is past."),
        ("0d", "is past."),
    ],
)
def test_an_end_that_cannot_be_is_an_error(
    tmp_path: Path, database: dict[str, str], expires: str, said: str
) -> None:
    code, output, errors = run(
        "keys", "create", "--name", "x", "--expires", expires, cwd=tmp_path, **database
    )

    assert (1, "") == (code, output)
    assert said in errors


def test_a_key_reads_unless_more_is_asked_for_and_the_list_says_how_long_it_works(
    tmp_path: Path, database: dict[str, str]
) -> None:
    made = (["--name", "first"], ["--name", "second", "--expires", "30d", "--channel", "sinch-us"])
    third = ["--name", "third", "--expires", "2999-12-31T20:30"]
    codes = [run("keys", "create", *options, cwd=tmp_path, **database)[0] for options in (*made, third)]
    _, listed, _ = run("keys", "list", cwd=tmp_path, **database)
    in_thirty_days = datetime.now(UTC) + timedelta(days=30)
    lines = [line.split("  ", 1)[1] for line in listed.splitlines()]

    assert [0, 0, 0] == codes
    assert ["first  read  all channels", "second  read  sinch-us", "third  read  all channels"] == [
        line.rsplit("  ", 4)[0] for line in lines
    ]
    assert [["never expires", "never used", "active"], ["never used", "active"]] == [
        lines[0].split("  ")[-3:], lines[1].split("  ")[-2:]
    ]  # fmt: skip
    assert f"expires {in_thirty_days:%Y-%m-%d}" in lines[1]
    assert "expires 2999-12-31 20:30" in lines[2]
