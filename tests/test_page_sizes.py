"""Pages of messages end where they would be too large, and the next ones go on with what is left."""

from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import UUID

import orjson
import pytest

from receiver.read.lookup import LARGEST_ANSWER
from receiver.read.timeline import PAGE_BYTES
from receiver.reader import Snapshot
from receiver.rows import MediaRow
from tests.support.api import Api, running
from tests.support.records import accept, outgoing

MESSAGES = "/v1/messages"
LONG = "x" * 900_000
CONTENT: dict[str, dict[str, Any]] = {
    "texts": {"text": LONG},
    "subjects": {"subject": LONG},
    "metadata": {"metadata": orjson.dumps({"a": LONG}).decode()},
    "options": {"options": orjson.dumps({"a": LONG}).decode()},
    "fallbacks": {"fallback_text": LONG},
    "a file": {},
}


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[Api]:
    async with running(database_url) as served:
        yield served


async def written(database_url: str, number: int, **values: Any) -> list[UUID]:
    """Returns the ids of *number* messages with *values*, oldest first."""
    rows = [outgoing(**values) for _ in range(number)]
    files = (
        [] if values else [MediaRow(row.id, 0, row.id, f"https://x/{LONG}", None, "stored") for row in rows]
    )
    return await accept(database_url, *rows, media=files)


async def pages(api: Api, path: str, **asked: Any) -> list[list[str]]:
    """Returns the ids on each page, all of which are read."""
    found: list[list[str]] = []
    cursor: dict[str, str] = {}
    while True:
        answer = await api.client.get(path, params={"limit": 20, **asked, **cursor})
        assert len(answer.content) < 1.2 * PAGE_BYTES
        page = answer.json()
        found.append([message["id"] for message in page["data"]])
        if page["next_cursor"] is None:
            return found
        cursor = {"cursor": page["next_cursor"]}


@pytest.mark.parametrize("what", CONTENT)
async def test_a_page_of_large_messages_ends_early_and_loses_none(
    api: Api, database_url: str, what: str
) -> None:
    made = await written(database_url, 9, **CONTENT[what])
    newest: Sequence[str] = [str(one) for one in reversed(made)]
    message = await api.get(f"{MESSAGES}/{made[0]}")
    conversation = f"/v1/conversations/{message['conversation_id']}/messages"

    in_fours = [newest[:4], newest[4:8], newest[8:]]
    assert in_fours == await pages(api, MESSAGES)
    assert in_fours == await pages(api, MESSAGES, contact="+12065550123")
    assert in_fours == await pages(api, conversation)


async def test_a_message_that_is_larger_than_a_page_is_one(api: Api, database_url: str) -> None:
    text = "x" * (PAGE_BYTES + 1)
    older, newer = [str(one) for one in await written(database_url, 2, text=text)]

    first = await api.get(MESSAGES)
    rest = await api.get(MESSAGES, params={"cursor": first["next_cursor"]})

    assert [newer] == [message["id"] for message in first["data"]]
    assert [older] == [message["id"] for message in rest["data"]]


async def test_a_lookup_of_too_much_is_refused_and_of_fewer_names_answered(
    api: Api, database_url: str
) -> None:
    most = LARGEST_ANSWER // len(LONG)
    ids = [str(one) for one in await written(database_url, most + 1, text=LONG, client_reference="order-42")]

    whole = await api.client.post(f"{MESSAGES}/lookup", json={"ids": ids})
    by_name = await api.client.post(f"{MESSAGES}/lookup", json={"client_references": ["order-42"]})
    fewer = await api.client.post(f"{MESSAGES}/lookup", json={"ids": ids[:most]})

    for refused in (whole, by_name):
        assert (422, "content_too_large") == (refused.status_code, refused.json()["code"])
        assert str(LARGEST_ANSWER) in refused.json()["detail"]
    assert (200, most) == (fewer.status_code, len(fewer.json()["data"]))


async def test_one_message_is_looked_up_whatever_its_size(api: Api, database_url: str) -> None:
    [named] = await written(database_url, 1, text="x" * (LARGEST_ANSWER + 1))

    answer = await api.client.post(f"{MESSAGES}/lookup", json={"ids": [str(named)]})

    assert [str(named)] == [message["id"] for message in answer.json()["data"]]


async def test_what_does_not_fit_a_page_is_not_read(
    api: Api, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await written(database_url, 9, text=LONG)
    asked, read = Snapshot.rows, 0

    async def counted(snapshot: Snapshot, text: str, *values: Any) -> Any:
        nonlocal read
        rows = await asked(snapshot, text, *values)
        read += sum(len(value) for row in rows for value in row.values() if isinstance(value, str))
        return rows

    monkeypatch.setattr(Snapshot, "rows", counted)
    await api.get(MESSAGES)

    assert 4 * len(LONG) <= read < 4.1 * len(LONG)


@pytest.mark.parametrize(
    ("content", "preview"),
    [
        ({"text": "\N{GRINNING FACE}" * 101}, "\N{GRINNING FACE}" * 100),
        ({"text": "", "subject": "About"}, "About"),
        ({"text": None, "subject": "About"}, "About"),
        ({"text": None}, None),
        ({"text": ""}, None),
    ],
)
async def test_a_conversation_shows_how_its_last_message_begins(
    api: Api, database_url: str, content: dict[str, Any], preview: str | None
) -> None:
    await written(database_url, 1, **content)

    [conversation] = (await api.get("/v1/conversations"))["data"]

    assert preview == conversation["last_message"]["preview"]
