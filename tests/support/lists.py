"""Every list of the API, as the OpenAPI document names them, and rows for each of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import orjson

from receiver import api as routes
from tests.support.forwarding import Installed
from tests.support.receiver import CHANNEL, TOKEN

US, THEM = "+18885551234", "+12065550123"
#: rows of each noun: at least three pages of two
ROWS = 5

Item = Mapping[str, Any]


@dataclass(frozen=True)
class List:
    """An operation that answers in pages. A cursor goes back in the query parameter *cursor*, or in the body
    where *in_body*."""

    method: str
    path: str
    cursor: str
    in_body: bool

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(frozen=True)
class Rows:
    """What a list has to hold: *sql* finds the ids of it in the database, $1 being the one in the path;
    *id_of* is an item's."""

    sql: str
    named: str = ""
    data: str = "data"
    id_of: Callable[[Item], str] = field(default=lambda item: str(item["id"]))


ROWS_OF = {
    "GET /v1/messages": Rows("SELECT id FROM postback.message"),
    "GET /v1/messages/{id}/events": Rows(
        "SELECT id FROM postback.event WHERE message_id = $1",
        "SELECT message_id FROM postback.event GROUP BY 1 ORDER BY count(*) DESC LIMIT 1",
    ),
    "GET /v1/conversations": Rows("SELECT id FROM postback.conversation"),
    "GET /v1/conversations/{id}/messages": Rows(
        "SELECT id FROM postback.message WHERE conversation_id = $1",
        "SELECT id FROM postback.conversation ORDER BY message_count DESC LIMIT 1",
    ),
    "GET /v1/events": Rows("SELECT id FROM postback.event"),
    "GET /v1/subscribers": Rows("SELECT id FROM postback.subscriber"),
    "GET /v1/subscribers/{id}/deliveries": Rows(
        "SELECT id FROM postback.delivery WHERE subscriber_id = $1",
        "SELECT id FROM postback.subscriber ORDER BY id LIMIT 1",
    ),
    "GET /v1/templates": Rows("SELECT id FROM postback.template"),
    "GET /v1/opt-outs": Rows("SELECT contact FROM postback.opt_out", id_of=lambda item: str(item["contact"])),
    "GET /v1/payloads": Rows("SELECT id FROM postback.payload"),
    "POST /v1/payloads/replay": Rows("SELECT id FROM postback.payload", data="payloads"),
}


def described() -> list[List]:
    """All that the document says answer with a ``next_cursor``."""
    document = routes.description()
    schemas = document["components"]["schemas"]
    return [
        List(
            method.upper(),
            path,
            "after" if "after" in {one["name"] for one in operation["parameters"]} else "cursor",
            "requestBody" in operation,
        )
        for path, item in document["paths"].items()
        for method, operation in item.items()
        for answer in operation["responses"].get("200", {}).get("content", {}).values()
        if "next_cursor"
        in schemas.get(answer["schema"].get("$ref", "").rpartition("/")[2], {}).get("properties", {})
    ]


async def fill(installed: Installed, listener: str) -> None:
    """`ROWS` rows for each list at least, written by the routes that people and carriers use; *listener* is
    the address of an app."""
    for _ in range(ROWS):
        await installed.subscribe(listener)
    await installed.tell(*["one"] * ROWS, code="N101")
    for number, code in enumerate(["N101", "N102", "E102", "E103", "N999", "N998"]):
        await installed.tell("one", code=code)
        await _hears(installed, f"in-{number}", THEM)
        await _hears(installed, f"from-{number}", f"+1206555010{number}")
        await installed.post("/v1/templates", channel=CHANNEL, name=f"template {number}", text="Hi")
        opted = await installed.api.put(f"/v1/opt-outs/*/+1206555020{number}")
        assert opted.is_success, opted.text
    installed.forward()
    [*subscribers] = (await installed.get("/v1/subscribers"))["data"]
    for subscriber in subscribers:
        await installed.until(f"/v1/subscribers/{subscriber['id']}", lag=0)
    await installed.stop()


async def _hears(installed: Installed, name: str, sender: str) -> None:
    said = {
        "code": "N401", "origin": "MMS_MO", "tracking-id": name, "from": sender, "to": US, "content": [],
        "status": "Message Received", "message-subject": name,
    }  # fmt: skip
    answer = await installed.api.post(f"/hooks/{CHANNEL}/{TOKEN}", content=orjson.dumps(said))
    assert answer.is_success, answer.text


async def ids(db: asyncpg.Connection, of: Rows) -> tuple[str, list[str]]:
    """The id for the path, and those that the list has to hold."""
    named = [await db.fetchval(of.named)] if of.named else []
    return "".join(map(str, named)), sorted(str(row[0]) for row in await db.fetch(of.sql, *named))
