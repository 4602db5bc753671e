"""Measures the carriers' door as raw ASGI and behind a route of Starlette: ``python -m benchmarks.door``.

One report after the other goes through the receiver as ASGI, with a store that takes everything; the
other way adds Starlette's routing, its `Request` and its `Response` to the same door. Both take turns, and
what is told is processor time: it moves little with whatever else the machine does.
"""

import asyncio
import gc
import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import orjson
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Scope

from receiver import config
from receiver.app import App
from receiver.ingest import Arrival, Ingest

TURNS, REPORTS = 11, 4000
_CHANNEL, _TOKEN = "sinch-us", "a-token-of-benchmarks"


def raw(data_dir: Path) -> App:
    """The receiver, which is never started: nothing connects to a database."""
    channel = {"provider": "sinch_mms", "tokens": [_TOKEN], "from": ["+18885551234"], "api_key": "k"}
    return App(
        config.settings(
            {
                "database_url": "postgresql://127.0.0.1:1/nobody-connects",
                "data_dir": str(data_dir),
                "secret_key": "a secret key for benchmarks",
                "spool": False,
                "channels": {_CHANNEL: channel},
            }
        )
    )


def behind_starlette(door: ASGIApp) -> Starlette:
    """*door* as the endpoint of a route: the body is read and the answer is made by Starlette."""

    async def endpoint(request: Request) -> Response:
        body, answer = await request.body(), dict[str, Any]()

        async def receive() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Message) -> None:
            answer.update(message)

        await door(request.scope, receive, send)
        return Response(answer["body"], answer["status"], media_type="application/json")

    return Starlette(routes=[Route("/hooks/{channel}/{token}", endpoint, methods=["GET", "POST"])])


async def turn(app: ASGIApp, reports: int) -> float:
    """Returns the microseconds of processor time that *app* needs for each of *reports*, all answered 200."""
    bodies = [_report(number) for number in range(reports)]
    answered = 0

    async def send(message: Message) -> None:
        nonlocal answered
        answered += message.get("status") == 200

    gc.collect()
    begun = time.process_time()
    for body in bodies:

        async def receive(body: bytes = body) -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        await app(_scope(body), receive, send)
    took = time.process_time() - begun
    assert reports == answered
    return took / reports * 1e6


async def compared(turns: int, reports: int) -> tuple[list[float], list[float]]:
    """Returns what each turn took, raw and behind Starlette, after one of each that is not counted."""
    with TemporaryDirectory() as data_dir, patch.object(Ingest, "put", _taken):
        app = raw(Path(data_dir))
        contenders: tuple[ASGIApp, ASGIApp] = (app, behind_starlette(app))
        took: tuple[list[float], list[float]] = ([], [])
        for number in range(turns + 1):
            for contender, times in zip(contenders, took, strict=True):
                microseconds = await turn(contender, reports)
                if number:
                    times.append(microseconds)
        return took


async def _taken(ingest: Ingest, arrival: Arrival) -> str:
    return "applied"


def _report(number: int) -> bytes:
    return orjson.dumps(
        {
            "origin": "MMS_MT",
            "code": "N101",
            "status": "Message Sent",
            "tracking-id": f"tracking-{number}",
            "client-reference": f"0193f0e2-7e51-7aaa-8000-{number:012}",
            "from": "18885551234",
            "to": "12065550123",
            "timestamp": "2026-11-21T09:00:01Z",
        }
    )


def _scope(body: bytes) -> Scope:
    path = f"/hooks/{_CHANNEL}/{_TOKEN}"
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [
            (b"host", b"127.0.0.1:8080"),
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
        ],
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 8080),
        "state": {},
    }


def main() -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        straight, behind = runner.run(compared(TURNS, REPORTS))
    more = [after - before for before, after in zip(straight, behind, strict=True)]
    for name, times in (("raw ASGI", straight), ("behind Starlette", behind), ("difference", more)):
        print(f"{name}: {statistics.median(times):.0f} µs ({min(times):.0f} to {max(times):.0f})")


if __name__ == "__main__":
    main()
