"""Subscribers through the API: who may make them, what they may be, and who sees them."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlmodel import col, select

from models import Subscriber
from models.events import Report
from models.status import Status
from receiver.config import Settings
from receiver.problems import Problem
from receiver.read import ids
from receiver.subscribers import check_url
from tests.support.api import Api, running
from tests.support.records import tell

URL = "https://app.example.com/events"
ALL = "/v1/subscribers"


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[Api]:
    async with running(database_url) as served:
        # a key of one channel can name only a channel that there is
        channels = {
            name: {"name": name, "provider": "sinch_mms", "tokens": ["a-token-of-tests"]}
            for name in ("sinch-us", "sinch-eu")
        }
        context = served.app.state.context
        settings = Settings(database_url=database_url, channels=channels)
        object.__setattr__(context, "settings", settings)
        yield served


async def made(api: Api, headers: dict[str, str] | None = None, **fields: Any) -> dict[str, Any]:
    answer = await api.client.post(ALL, json={"url": URL, **fields}, headers=headers)
    assert 201 == answer.status_code, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_a_subscriber_is_made_and_its_secret_is_shown_once(api: Api) -> None:
    answer = await api.client.post(ALL, json={"url": URL, "types": ["message.received"]})
    created = answer.json()
    path = answer.headers["location"]

    assert (201, f"{ALL}/{created['id']}") == (answer.status_code, path)
    secret = created.pop("secret")
    assert secret.startswith("whsec_")
    assert created == await api.get(path)
    assert [created] == (await api.get(ALL))["data"]
    assert {
        "id": created["id"],
        "url": URL,
        "types": ["message.received"],
        "channels": None,
        "state": "active",
        "disabled_reason": None,
        "lag": 0,
        "created_at": created["created_at"],
    } == created


async def test_a_new_subscriber_begins_with_what_comes_after_it(api: Api, database_url: str) -> None:
    await tell(database_url, Report("t1", "N101", Status.SENT, ("t1",)))
    created = await made(api)
    await tell(database_url, Report("t2", "N101", Status.SENT, ("t2",)))

    assert 0 == created["lag"]
    assert 1 == (await api.get(f"{ALL}/{created['id']}"))["lag"]


@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        ({}, "/url", "invalid_field"),
        ({"url": "ftp://app.example.com/"}, "/url", "invalid_field"),
        ({"url": "http://app.example.com/events"}, "/url", "invalid_field"),
        ({"url": "https://app.example.com:8443/events"}, "/url", "invalid_field"),
        ({"url": "https://user:password@app.example.com/"}, "/url", "invalid_field"),
        ({"url": "https://10.0.0.1/events"}, "/url", "invalid_field"),
        ({"url": "https://127.0.0.1/events"}, "/url", "invalid_field"),
        ({"url": "https://[::1]/events"}, "/url", "invalid_field"),
        ({"url": "https://[::ffff:127.0.0.1]/events"}, "/url", "invalid_field"),
        ({"url": "https://2130706433/events"}, "/url", "invalid_field"),
        ({"url": "https://169.254.169.254/latest"}, "/url", "invalid_field"),
        ({"url": URL, "types": ["message.deliverd"]}, "/types/0", "invalid_field"),
        ({"url": URL, "types": []}, "/types", "invalid_field"),
        ({"url": URL, "channels": ["sinch-us", "nobody"]}, "/channels/1", "unknown_channel"),
        ({"url": URL, "secret": "mine"}, "/secret", "unknown_field"),
    ],
)
async def test_what_cannot_be_is_refused(api: Api, body: dict[str, Any], pointer: str, code: str) -> None:
    answer = await api.client.post(ALL, json=body)

    assert (422, code) == (answer.status_code, answer.json()["code"])
    assert [pointer] == [error["pointer"] for error in answer.json()["errors"]]


@pytest.mark.parametrize(
    "url",
    [
        "http://10.1.2.3:8080/events",
        "https://10.1.2.3/events",
        "http://app.internal:3000/",
        "https://1.1.1.1/",
    ],
)
def test_in_private_networks_plain_http_and_any_port_are_accepted(url: str) -> None:
    check_url(url, Settings(private_networks="10.0.0.0/8").private_networks)


def test_outside_of_them_they_are_not() -> None:
    with pytest.raises(Problem, match="private_networks"):
        check_url("http://11.0.0.1:8080/events", Settings(private_networks="10.0.0.0/8").private_networks)


async def test_what_is_left_out_of_a_change_stays(api: Api) -> None:
    created = await made(api, types=["message.received"], channels=["sinch-us"])
    path = f"{ALL}/{created['id']}"

    other = (await api.client.patch(path, json={"url": "https://other.example.com/"})).json()
    every = (await api.client.patch(path, json={"types": None})).json()
    off = (await api.client.patch(path, json={"state": "disabled"})).json()
    again = (await api.client.patch(path, json={"state": "active"})).json()
    refused = await api.client.patch(path, json={"url": "http://10.0.0.1/"})

    assert ["message.received"] == other["types"]
    assert ("https://other.example.com/", None, ["sinch-us"]) == (
        every["url"],
        every["types"],
        every["channels"],
    )
    assert ("disabled", "by an API key") == (off["state"], off["disabled_reason"])
    assert ("active", None) == (again["state"], again["disabled_reason"])
    assert 422 == refused.status_code
    assert again == await api.get(path)


async def test_a_deleted_one_is_gone(api: Api) -> None:
    created = await made(api)
    path = f"{ALL}/{created['id']}"

    deleted = await api.client.delete(path)

    assert (200, created["id"]) == (deleted.status_code, deleted.json()["id"])
    for method, where in (
        ("GET", path), ("DELETE", path), ("POST", f"{path}/rotate"), ("GET", f"{path}/deliveries")
    ):  # fmt: skip
        assert 404 == (await api.client.request(method, where)).status_code, (method, where)
    assert 404 == (await api.client.patch(path, json={"state": "active"})).status_code


async def test_a_rotation_shows_the_new_secret(api: Api) -> None:
    created = await made(api)
    rotated = (await api.client.post(f"{ALL}/{created['id']}/rotate")).json()

    assert created["id"] == rotated["id"]
    assert rotated["secret"].startswith("whsec_")
    assert rotated["secret"] != created["secret"]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"grace_seconds": -1}, "/grace_seconds"),
        ({"grace_seconds": True}, "/grace_seconds"),
        ({"grace_seconds": 7 * 86400 + 1}, "/grace_seconds"),
        ({"grace_seconds": "soon"}, "/grace_seconds"),
        ({"grace": 5}, "/grace"),
    ],
)
async def test_a_rotation_that_is_not_understood_changes_nothing(
    api: Api, body: dict[str, Any], pointer: str
) -> None:
    created = await made(api)
    before = await secret_of(api)
    refused = await api.client.post(f"{ALL}/{created['id']}/rotate", json=body)

    assert (422, pointer) == (refused.status_code, refused.json()["errors"][0]["pointer"])
    assert before == await secret_of(api)


async def secret_of(api: Api) -> bytes | None:
    """As it lies in the table, which holds one subscriber."""
    async with api.engine.connect() as connection:
        return await connection.scalar(select(col(Subscriber.secret)))


async def test_a_replay_needs_a_cursor_of_the_feed(api: Api) -> None:
    created = await made(api)
    path = f"{ALL}/{created['id']}/replay"

    taken = await api.client.post(path, json={"after": ids.cursor_of_sequence(0)})
    wrong = await api.client.post(path, json={"after": "nonsense"})
    now = await api.client.post(path, json={"after": "now"})

    assert 202 == taken.status_code
    assert [(422, "invalid_cursor")] * 2 == [(one.status_code, one.json()["code"]) for one in (wrong, now)]


async def test_subscribers_are_for_admins(api: Api) -> None:
    reader = await api.key("read", "send")
    created = await made(api)

    assert 403 == (await api.client.get(ALL, headers=reader)).status_code
    assert 403 == (await api.client.post(ALL, json={"url": URL}, headers=reader)).status_code
    assert 403 == (await api.client.post(f"/v1/deliveries/{created['id']}/retry", headers=reader)).status_code


async def test_a_key_of_one_channel_sees_only_its_own_kind(api: Api) -> None:
    everybody = await made(api)
    bound = await api.key("admin", channels=["sinch-eu"])
    both = await api.key("admin", channels=["sinch-eu", "sinch-us"])
    own = await made(api, bound)
    foreign = await api.client.post(ALL, json={"url": URL, "channels": ["sinch-us"]}, headers=bound)

    assert (422, "unknown_channel") == (foreign.status_code, foreign.json()["code"])
    assert [own["id"]] == [one["id"] for one in (await api.get(ALL, headers=bound))["data"]]
    assert [own["id"]] == [one["id"] for one in (await api.get(ALL, headers=both))["data"]]
    assert {own["id"], everybody["id"]} == {one["id"] for one in (await api.get(ALL))["data"]}
    assert 404 == (await api.client.get(f"{ALL}/{everybody['id']}", headers=bound)).status_code
    assert 404 == (await api.client.post(f"{ALL}/{everybody['id']}/rotate", headers=bound)).status_code
    assert 404 == (await api.client.delete(f"{ALL}/{everybody['id']}", headers=bound)).status_code


async def test_a_list_goes_on_page_by_page(api: Api) -> None:
    created = [(await made(api))["id"] for _ in range(3)]
    first = await api.get(ALL, params={"limit": 2})
    second = await api.get(ALL, params={"limit": 2, "cursor": first["next_cursor"]})

    assert created[::-1] == [one["id"] for one in first["data"] + second["data"]]
    assert second["next_cursor"] is None
