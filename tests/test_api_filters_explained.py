"""No filter of a list reads a table: what Postgres does for each of them, and for any two together."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from itertools import combinations
from typing import Any
from urllib.parse import urlencode

import orjson
import pytest
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from models.base import SCHEMA
from receiver import api as routes
from receiver.read.walk import WINDOW
from receiver.reader import Snapshot
from receiver.sql import qualified
from tests.support import crowd
from tests.support.api import Api, running

#: a table with fewer rows than this may be read whole: Postgres is right to
SMALL = 1000
#: rows that one statement may read: a walk, what lies beside each row of it, and what a page is made of
MOST = 3 * WINDOW
#: a filter that an index serves finds its page at once
MOST_WITH_INDEX = 10 * 26

#: what each filter is asked for: something that is rare, and old
ASKED = {
    "client_reference": "campaign-3",
    "provider_message_id": "MMS7",
    "channel": crowd.RARE,
    "direction": "inbound",
    "from": crowd.CONTACT,
    "to": crowd.RARE_NUMBER,
    "contact": crowd.CONTACT,
    "our_number": crowd.RARE_NUMBER,
    "status": "uncertain",
    "outcome": "failure",
    "error_class": "unknown_subscriber",
    "conflict": "true",
    "created_after": "2020-01-01T00:00:00Z",
    "created_before": "2035-01-01T00:00:00Z",
    "updated_after": "2020-01-01T00:00:00Z",
    "unread": "false",
    "state": "duplicate",
    "type": "message.failed",
}
#: other values of the same, which take another way
ALSO = [
    ("/v1/messages", {"from": crowd.OUR_NUMBER}),
    ("/v1/messages", {"to": crowd.CONTACT}),
    ("/v1/messages", {"conflict": "false", "direction": "inbound"}),
    ("/v1/messages", {"status": "rejected"}),
    ("/v1/messages", {"error_class": "unknown", "channel": crowd.RARE}),
    ("/v1/messages", {"outcome": "pending", "contact": crowd.CONTACT}),
    ("/v1/conversations", {"unread": "true", "our_number": crowd.RARE_NUMBER}),
    ("/v1/payloads", {"state": "quarantined", "channel": crowd.RARE}),
    ("/v1/opt-outs", {"our_number": "*"}),
]
#: walked a window at a time; of a few thousand failures Postgres rather sorts them all
WALKED = {"direction", "status", "outcome", "error_class", "unread", "type", "state"}
#: walked by its numbers, whatever is wanted of it
FEED = "/v1/events"
#: shape a list and narrow nothing
SHAPING = {"limit", "cursor", "after", "wait", "superseded"}


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[Api]:
    await crowd.fill(database_url)
    async with running(database_url) as served:
        yield served


def lists() -> dict[str, list[str]]:
    """Every route that answers with a list of many things: its path and its filters."""
    return {
        path: [one["name"] for one in item["get"]["parameters"] if one["name"] not in SHAPING]
        for path, item in routes.description()["paths"].items()
        if any(one["name"] == "limit" for one in item.get("get", {}).get("parameters", []))
        and "{" not in path
    }


def questions() -> Iterator[tuple[str, dict[str, str]]]:
    for path, filters in lists().items():
        for number in (0, 1, 2):
            for names in combinations(filters, number):
                yield path, {name: ASKED[name] for name in names}
    yield from ALSO


def test_every_filter_of_every_list_is_asked_for_here() -> None:
    filters = {name for names in lists().values() for name in names}

    assert {"/v1/messages", "/v1/conversations", "/v1/events", "/v1/payloads"} <= lists().keys()
    assert filters == ASKED.keys()


async def test_no_filter_and_no_two_of_them_read_a_table(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [dict(api.client.headers), await api.key("read", "admin", channels=[crowd.RARE])]
    seen: set[tuple[str, str]] = set()
    found = []
    with statements(api.engine, monkeypatch) as asked:
        for path, filters in questions():
            for headers in keys:
                asked.clear()
                await api.get(f"{path}?{urlencode(filters)}", headers=headers)
                for statement, parameters in list(asked):
                    if (statement, str(parameters)) not in seen:
                        seen.add((statement, str(parameters)))
                        straight = headers is keys[0] and WALKED.isdisjoint(filters) and len(filters) < 2
                        straight = straight and path != FEED
                        found += await faults(
                            api.engine, (path, filters), statement, parameters, straight=straight
                        )

    assert [] == found
    assert len(seen) > 200


@contextmanager
def statements(engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, Any]]]:
    """What is asked of Postgres meanwhile, through *engine* and through a `Reader`."""
    asked: list[tuple[str, Any]] = []

    def listen(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
        if statement.startswith("SELECT"):
            asked.append((statement, parameters))

    async def rows(self: Snapshot, text: str, *values: Any) -> Any:
        asked.append((text, values))
        return await as_it_is(self, text, *values)

    as_it_is = Snapshot.rows
    monkeypatch.setattr(Snapshot, "rows", rows)
    event.listen(engine.sync_engine, "before_cursor_execute", listen)
    yield asked
    event.remove(engine.sync_engine, "before_cursor_execute", listen)
    monkeypatch.undo()


async def faults(
    engine: AsyncEngine, asked: Any, statement: str, parameters: Any, *, straight: bool
) -> list[Any]:
    """Tables that *statement* reads from end to end, and how much more than it may it reads."""
    explain = f"EXPLAIN (ANALYZE, FORMAT JSON) {qualified(statement, SCHEMA)}"
    async with engine.connect() as connection:
        told = (await connection.exec_driver_sql(explain, tuple(parameters))).scalar_one()
    (plan,) = orjson.loads(told) if isinstance(told, str) else told
    nodes = list(flat(plan["Plan"]))
    most = MOST_WITH_INDEX if straight else MOST
    scanned = [
        node["Relation Name"] for node in nodes if node["Node Type"] == "Seq Scan" and read(node) >= SMALL
    ]
    total = sum(read(node) for node in nodes if "Scan" in node["Node Type"] and "Plans" not in node)
    return [(*asked, scanned, total, statement)] if scanned or total > most else []


def flat(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", []):
        yield from flat(below)


def read(node: dict[str, Any]) -> float:
    """Rows that a scan looked at."""
    rows = sum(
        node.get(key, 0) for key in ("Actual Rows", "Rows Removed by Filter", "Rows Removed by Index Recheck")
    )
    return float(rows * node["Actual Loops"])
