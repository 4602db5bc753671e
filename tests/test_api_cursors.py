"""Paging while others write: nothing comes twice, and nothing that was there at the start is left out."""

import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from uuid_utils.compat import uuid7

from models.events import Inbound, Report
from models.status import Status
from receiver.read.walk import WINDOW
from tests.support.api import CHANNEL, Api, running
from tests.support.beds import connect
from tests.support.records import accept, outgoing, tell

LISTS = [
    "/v1/messages",
    f"/v1/messages?channel={CHANNEL}",
    "/v1/messages?from=%2B18885551234",
    "/v1/messages?client_reference=mine",
    "/v1/messages?outcome=failure",
    "/v1/messages?status=accepted",
    "/v1/payloads",
    "/v1/payloads?state=applied",
    "/v1/templates",
    "/v1/events",
    "/v1/conversations",
]


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[Api]:
    async with running(database_url) as served:
        yield served


async def write(api: Api, database_url: str, number: int, at: int) -> None:
    """*number* of everything, to and from people of whom nobody has heard before."""
    people = [f"+120655{at:02}{n:03}" for n in range(number)]
    await accept(database_url, *(outgoing(to, client_reference="mine") for to in people))
    for n, person in enumerate(people):
        inbound = Inbound(f"in-{at}-{n}", (f"in-{at}-{n}",), sender=person, text="Yes")
        refused = Report(f"c-{at}-{n}", "E102", Status.REJECTED, (f"c-{at}-{n}",), client_reference="x")
        await tell(database_url, inbound, refused)
        body = {"channel": CHANNEL, "name": f"{at}-{n}", "text": "Hi"}
        await api.client.post("/v1/templates", json=body)


async def test_pages_hold_together_while_others_write(api: Api, database_url: str) -> None:
    chance = random.Random(7)  # noqa: S311 - the same pages on every run
    await write(api, database_url, 12, at=0)
    there = {path: await _ids(api, path) for path in LISTS}
    read: dict[str, list[str]] = {path: [] for path in LISTS}
    at: dict[str, str | None] = dict.fromkeys(LISTS, "")
    for turn in range(1, 40):
        for path in [path for path in LISTS if at[path] is not None]:
            page = await api.get(_page(path, chance.randint(1, 4), at[path] or ""))
            read[path] += [one["id"] for one in page["data"]]
            feed = path == "/v1/events"
            at[path] = page["next_cursor"] if page["data"] or not feed else None
        if turn < 6:
            await write(api, database_url, 1, at=turn)

    assert [] == [path for path in LISTS if at[path] is not None]
    assert [] == [path for path in LISTS if len(set(read[path])) != len(read[path])]
    assert [] == [path for path in LISTS if not there[path] <= set(read[path])]
    assert [12] * len(LISTS) <= [len(ids) for ids in there.values()]


async def test_a_list_whose_filter_is_rare_is_found_over_several_windows(api: Api, database_url: str) -> None:
    """One inbound message lies below more outbound ones than a page goes through."""
    await tell(database_url, Inbound("in-1", ("in-1",), sender="+12065550123", text="Yes"))
    [old] = (await api.get("/v1/messages"))["data"]
    db = await connect(database_url)
    await db.copy_records_to_table(
        "message",
        schema_name="postback",
        columns=["id", "direction", "origin", "channel", "provider", "kind", "seen", "version", "updated_at"],
        records=[
            (uuid7(), "outbound", "api", CHANNEL, "sinch_mms", "mms", 0, 0, datetime.now(UTC))
            for _ in range(WINDOW + 10)
        ],
    )
    await db.close()

    first = await api.get("/v1/messages?direction=inbound")
    second = await api.get(f"/v1/messages?direction=inbound&cursor={first['next_cursor']}")

    assert [] == first["data"]
    assert ([old["id"]], None) == ([one["id"] for one in second["data"]], second["next_cursor"])


async def _ids(api: Api, path: str) -> set[str]:
    return {one["id"] for one in (await api.get(_page(path, 200, "")))["data"]}


def _page(path: str, limit: int, cursor: str) -> str:
    name = "after" if path == "/v1/events" else "cursor"
    asked = f"limit={limit}" + (f"&{name}={cursor}" if cursor else "")
    return f"{path}{'&' if '?' in path else '?'}{asked}"
