"""Replies at Cellcast, as a fake carrier sees them fetched: of both types, each list by itself."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.support.beds import connect
from tests.support.carrier import running
from tests.support.patience import PATIENCE
from tests.test_pace import sending, settings_of

pytestmark = pytest.mark.usefixtures("unhurried")

PICTURE = "https://mms.example.com/a.jpg"
REFUSED = {"meta": {"code": 400, "status": "FIELD_INVALID"}, "msg": "MMS is not enabled", "data": []}


class Carrier:
    """Holds one SMS and two pages of MMS until they are marked as read; *asked* are the queries, in order."""

    def __init__(self, *, without_mms: bool = False) -> None:
        self.asked: list[str] = []
        self.read: list[list[str]] = []
        self._without_mms = without_mms
        self._pages = {
            "sms": [[_reply("1", body="Yes")]],
            "mms": [[_reply("2", media=[PICTURE])], [_reply("3", picture="IMG_0001.jpg")]],
        }
        self.app = Starlette(
            routes=[
                Route("/get-responses", self._responses),
                Route("/inbound-read-bulk", self._mark, methods=["POST"]),
            ]
        )

    async def _responses(self, request: Request) -> Response:
        self.asked.append(request.url.query)
        kind, number = request.query_params["type"], int(request.query_params["page"])
        if kind == "mms" and self._without_mms:
            return JSONResponse(REFUSED, 400)
        pages = self._pages[kind]
        data: dict[str, Any] = {"page": {"count": len(pages), "number": number}, "responses": ""}
        if number <= len(pages):
            data["responses"] = pages[number - 1]
        return JSONResponse({"meta": {"code": 200, "status": "SUCCESS"}, "msg": "Responses", "data": data})

    async def _mark(self, request: Request) -> Response:
        ids = (await request.json())["message_id"]
        self.read.append(ids)
        self._pages = {
            kind: [[reply for reply in page if reply["message_id"] not in ids] for page in pages]
            for kind, pages in self._pages.items()
        }
        return JSONResponse({"meta": {"code": 200, "status": "SUCCESS"}, "msg": "Marked", "data": []})


def _reply(name: str, **fields: Any) -> dict[str, Any]:
    return {"from": "+61491570156", "received_at": "2024-09-18 07:15:36", "message_id": name, **fields}


async def _poll(carrier: Carrier, database_url: str, tmp_path: Path, until: Callable[[], bool]) -> None:
    async with running(carrier.app) as url:
        settings = settings_of(database_url, tmp_path, url, a={"poll": 1})
        async with sending(settings), asyncio.timeout(PATIENCE):
            while not until():  # noqa: ASYNC110 - the carrier tells nobody
                await asyncio.sleep(0.02)


async def test_both_types_are_polled_to_their_last_page_and_taken_off(
    database_url: str, tmp_path: Path
) -> None:
    carrier = Carrier()
    await _poll(carrier, database_url, tmp_path, lambda: len(carrier.read) == 2)

    assert {"page=1&type=sms", "page=1&type=mms", "page=2&type=mms"} == set(carrier.asked)
    assert [["1"], ["2", "3"]] == sorted(carrier.read)
    db = await connect(database_url)
    rows = await db.fetch(
        """SELECT r.provider_message_id AS name, m.kind, b.text, f.url, b.metadata_::text AS metadata
           FROM postback.message m JOIN postback.reference r ON r.message_id = m.id
           JOIN postback.message_body b ON b.message_id = m.id
           LEFT JOIN postback.media f ON f.message_id = m.id ORDER BY 1"""
    )
    queries = await db.fetch("SELECT query FROM postback.payload ORDER BY 1")
    await db.close()
    assert [
        ("1", "sms", "Yes", None, "{}"),
        ("2", "mms", None, PICTURE, "{}"),
        ("3", "mms", None, None, '{"files_not_understood": ["picture"]}'),
    ] == [tuple(row) for row in rows]
    assert ["to=poll&status=200&list=mms"] * 2 + ["to=poll&status=200&list=sms"] == [
        row["query"] for row in queries
    ]


async def test_an_account_without_mms_goes_on_with_sms(database_url: str, tmp_path: Path) -> None:
    carrier = Carrier(without_mms=True)

    def sms() -> int:
        return carrier.asked.count("page=1&type=sms")

    await _poll(carrier, database_url, tmp_path, lambda: bool(carrier.read) and sms() >= 4)

    assert [["1"]] == carrier.read
    assert sms() > carrier.asked.count("page=1&type=mms"), "which was refused, and rests"
