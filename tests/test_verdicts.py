"""The meaning of a carrier's answer to a send, read from the wire and shown by the API."""

from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.support.carrier import running
from tests.support.installation import THEM, installation

QUEUED = {"messages": [{"message_id": "m1", "to": "+61491570156"}], "total_numbers": 1, "success_number": 1}


def meta(status: int, verdict: str, said: str = "", data: Any = None) -> dict[str, Any]:
    return {"meta": {"code": status, "status": verdict}, "msg": said, "data": data or []}


def block(code: str, description: str) -> dict[str, Any]:
    """The error as the document names it: ``error->code`` and ``error->description``."""
    return {"error": {"code": code, "description": description}}


@pytest.mark.parametrize(
    ("status", "body", "becomes", "error"),
    [
        (200, meta(200, "SUCCESS", data=QUEUED), "queued", None),
        (201, meta(200, "SUCCESS", data=QUEUED), "queued", None),
        (400, meta(200, "SUCCESS", data=QUEUED), "rejected", ("unknown", "HTTP 400", "later")),
        (500, meta(200, "SUCCESS", data=QUEUED), "uncertain", None),
        (
            200,
            block("LEDGER_ERROR", "No credit left"),
            "rejected",
            ("account_problem", "LEDGER_ERROR", "fix"),
        ),
        (
            400,
            block("FIELD_INVALID", "from is wrong"),
            "rejected",
            ("content_rejected", "FIELD_INVALID", "fix"),
        ),
        (200, block("OWN_ERROR", "Not today"), "rejected", ("unknown", "OWN_ERROR", "later")),
        (401, block("AUTH_FAILED", "No such key"), "rejected", ("credentials_refused", "AUTH_FAILED", "fix")),
    ],
)
async def test_cellcast_took_a_send_where_http_and_the_verdict_both_say_so(
    status: int, body: dict[str, Any], becomes: str, error: tuple[str, str, str] | None, database_url: str
) -> None:
    message = await sent(database_url, "cellcast", "+61491570156", status, body, becomes)

    found = message["error"]
    assert error == (found and (found["class"], found["code"], found["retry"]))
    if "error" in body:
        assert body["error"]["description"] == found["message"]


@pytest.mark.parametrize(
    ("status", "body", "becomes", "error"),
    [
        (200, {"status": "Error", "Message": "Check APIkey"}, "rejected", "credentials_refused"),
        (401, {"status": "Error", "Message": "Invalid API key"}, "rejected", "credentials_refused"),
        (
            401,
            {"status": "Error", "Message": "Source number not on account"},
            "rejected",
            "sender_not_allowed",
        ),
        (400, {"status": "Failed", "Message": "The account is closed"}, "rejected", "unknown"),
        (200, {"status": "Pending", "Message": "Waiting for a person"}, "uncertain", None),
    ],
)
async def test_voicetel_tells_a_wrong_key_and_its_message_stays(
    status: int, body: dict[str, Any], becomes: str, error: str | None, database_url: str
) -> None:
    message = await sent(database_url, "voicetel", THEM, status, body, becomes)

    assert error == (message["error"] and message["error"]["class"])
    [event] = [event for event in message["timeline"] if event["status"] == becomes]
    assert body["Message"] == event["provider_message"]


async def sent(
    database_url: str, provider: str, to: str, status: int, body: dict[str, Any], becomes: str
) -> dict[str, Any]:
    """The message to *to* once it has become what the answer makes of it."""

    async def answer(request: Request) -> Response:
        return JSONResponse(body, status)

    carrier = Starlette(routes=[Route("/{path:path}", answer, methods=["GET", "POST"])])
    async with running(carrier) as url, installation(database_url, provider, base_url=url) as home:
        message = await home.send(to)
        return await home.until(message["id"], becomes)
