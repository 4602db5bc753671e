"""Every list that the OpenAPI document names, page by page, over real rows of each noun."""

import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.app import running_app
from tests.support.forwarding import Installed, forwarding
from tests.support.lists import ROWS, ROWS_OF, List, described, fill, ids

LISTS = described()
#: what no list gave out: no cursor at all, one of a later release, a moment that no calendar has
STRANGE = ["", "!", "AXM", "AX", "0", "now-", "é", "A" * 1000, *(
    base64.urlsafe_b64encode(content).rstrip(b"=").decode()
    for content in (b"\x02i" + bytes(16), b"\x01s" + b"\xff" * 8, b"\x01m" + b"\xff" * 24)
)]  # fmt: skip


#: a conversation's messages stand in the list of all, and the events of a timeline in the feed
KIN = [{"/v1/messages", "/v1/conversations/{id}/messages"}, {"/v1/events", "/v1/messages/{id}/events"}]


@pytest.fixture
async def filled(database_url: str, tmp_path: Path) -> AsyncIterator[Installed]:
    async with forwarding(database_url, tmp_path) as installed, running_app() as app:
        await fill(installed, app.url)
        yield installed


def test_every_list_of_the_document_has_its_rows_here() -> None:
    assert sorted(ROWS_OF) == sorted(map(str, LISTS))


async def test_every_list_gives_each_of_its_rows_once_whatever_the_page(filled: Installed) -> None:
    for one in LISTS:
        named, expected = await ids(filled.db, ROWS_OF[str(one)])
        assert ROWS <= len(expected), one
        for limit in (1, 2, 200):
            pages = await read(filled, one, named, limit)
            found = [ROWS_OF[str(one)].id_of(item) for page in pages for item in page[ROWS_OF[str(one)].data]]
            assert (str(one), limit, expected) == (str(one), limit, sorted(found))


async def test_a_cursor_that_the_list_did_not_give_out_is_refused_by_every_list(filled: Installed) -> None:
    named = {one: (await ids(filled.db, ROWS_OF[str(one)]))[0] for one in LISTS}
    genuine = {one: (await ask(filled, one, named[one], 1)).json()["next_cursor"] for one in LISTS}
    for one in LISTS:
        own = genuine[one]
        same = next((paths for paths in KIN if one.path in paths), {one.path})
        foreign = {cursor for other, cursor in genuine.items() if other.path not in same}
        assert len(LISTS) - 3 <= len(foreign)
        for cursor in {*STRANGE, own + "A", own[:-1], own + "=", *foreign}:
            answer = await ask(filled, one, named[one], 1, cursor)
            assert (str(one), cursor, 422) == (str(one), cursor, answer.status_code)
            problem = answer.json()
            assert ("invalid_cursor", f"/{one.cursor}") == (problem["code"], problem["errors"][0]["pointer"])


async def read(installed: Installed, one: List, named: str, limit: int) -> list[dict[str, Any]]:
    """All pages of *one*, each asked for with the cursor that the one before it gave out."""
    pages: list[dict[str, Any]] = []
    cursor: str | None = None
    while not pages or cursor is not None:
        answer = await ask(installed, one, named, limit, cursor)
        assert (str(one), 200) == (str(one), answer.status_code), answer.text
        page = answer.json()
        assert len(page[ROWS_OF[str(one)].data]) <= limit
        pages.append(page)
        cursor = page["next_cursor"]
        if one.path == "/v1/events" and not page["data"]:
            break  # the feed has a cursor at its end too
        assert len(pages) < 200, one
    return pages


async def ask(
    installed: Installed, one: List, named: str, limit: int, cursor: str | None = None
) -> httpx.Response:
    given: dict[str, str | int] = {"limit": limit}
    if cursor is not None:
        given[one.cursor] = cursor
    path = one.path.replace("{id}", named)
    if one.in_body:
        return await installed.api.request(one.method, path, json={**given, "dry_run": True})
    return await installed.api.request(one.method, path, params=given)
