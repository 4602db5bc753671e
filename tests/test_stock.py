"""A whole installation, in processes of its own, on the Postgres that ``--bed`` names."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from faults.ports import free_port
from tests.support import commands
from tests.support.beds import Bed, connect
from tests.support.commands import Started, environment
from tests.support.processes import children
from tests.support.store import THEM, US, postback

pytestmark = pytest.mark.stock

CHANNEL, TOKEN = "sinch-us", "a-token-for-tests"
#: seconds for what takes one or two on a quiet machine
PATIENCE = 60.0


class Installation:
    """``serve``, ``send``, ``forward`` and the practice carrier on one database, as commands."""

    def __init__(self, directory: Path, database_url: str, stack: ExitStack) -> None:
        self.directory, self.database_url, self._stack = directory, database_url, stack
        self.address = f"http://127.0.0.1:{free_port()}"
        self.carrier = f"http://127.0.0.1:{free_port()}"
        channel = {
            "provider": "sinch_mms", "tokens": [TOKEN], "from": [US], "api_key": "the-carriers-key",
            "base_url": f"{self.carrier}/ep/v2/",
        }  # fmt: skip
        self._env = environment(
            DATABASE_URL=database_url,
            POSTBACK_SECRET_KEY="a secret key for tests",
            POSTBACK_CHANNELS=json.dumps({CHANNEL: channel}),
            POSTBACK_PRIVATE_NETWORKS='["127.0.0.0/8"]',
        )

    @property
    def hook(self) -> str:
        return f"{self.address}/hooks/{CHANNEL}/{TOKEN}"

    def runs(self, *arguments: str) -> tuple[int, str, str]:
        """The exit code, output and errors of a command that ends by itself."""
        return commands.run(*arguments, cwd=self.directory, **self._env)

    def starts(self, *arguments: str) -> Started:
        running = commands.postback(*arguments, cwd=self.directory, **self._env)
        return self._stack.enter_context(running)

    def serves(self, workers: int = 1) -> Started:
        port = self.address.rpartition(":")[2]
        serving = self.starts("serve", "--port", port, "--workers", str(workers))
        serving.ready()
        return serving

    def practises(self) -> None:
        port = self.carrier.rpartition(":")[2]
        self.starts("simulate", "--port", port, "--callbacks", self.address).ready()


@pytest.fixture
def installed(database_url: str, tmp_path: Path) -> Iterator[Installation]:
    with ExitStack() as stack:
        yield Installation(tmp_path, database_url, stack)


@pytest.fixture
async def app() -> AsyncIterator[tuple[str, list[dict[str, Any]]]]:
    """A subscriber's address, and the events that were posted there."""
    heard: list[dict[str, Any]] = []

    async def take(request: Request) -> Response:
        heard.append(await request.json())
        return Response(status_code=204)

    port = free_port()
    routes = [Route("/", take, methods=["POST"])]
    server = uvicorn.Server(uvicorn.Config(Starlette(routes=routes), port=port, log_config=None))
    serving = asyncio.create_task(server.serve())
    yield f"http://127.0.0.1:{port}/", heard
    server.should_exit = True
    await serving


async def until(true: Callable[[], Any]) -> None:
    """Returns when *true* answers so, at once or later. Raises ``TimeoutError``."""
    async with asyncio.timeout(PATIENCE):
        while True:
            answer = true()
            if await answer if asyncio.iscoroutine(answer) else answer:
                return
            await asyncio.sleep(0.05)


async def kept(database_url: str) -> int:
    """The number of requests in Postgres."""
    connection = await connect(database_url)
    try:
        return int(await connection.fetchval("SELECT count(*) FROM postback.payload"))
    finally:
        await connection.close()


async def test_the_product_runs_as_a_role_that_owns_its_database_and_nothing_else(
    bed: Bed, database_url: str, request: pytest.FixtureRequest
) -> None:
    if request.config.getoption("bed") == "embedded":
        pytest.skip("the embedded server has one role, and neither JIT nor TLS")
    connection = await connect(database_url)
    role = await connection.fetchrow("SELECT * FROM pg_roles WHERE rolname = current_user")
    encrypted = await connection.fetchval("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
    compiled = await connection.fetchval("SELECT boot_val FROM pg_settings WHERE name = 'jit'")
    await connection.close()

    assert bed.owner == role["rolname"]
    assert not any(role[right] for right in ("rolsuper", "rolcreatedb", "rolcreaterole", "rolreplication"))
    assert (True, "on") == (encrypted, compiled)


async def test_a_fresh_database_is_migrated_used_and_examined(
    bed: Bed, tmp_path: Path, app: tuple[str, list[dict[str, Any]]]
) -> None:
    url = await bed.create("fresh")
    with ExitStack() as stack:
        here = Installation(tmp_path, url, stack)
        assert 0 == (await asyncio.to_thread(here.runs, "migrate"))[0]
        code, key, errors = await asyncio.to_thread(
            here.runs, "keys", "create", "--name", "me", "--scope", "read,send,admin"
        )
        assert 0 == code, errors
        await asyncio.to_thread(here.serves)
        await asyncio.to_thread(here.practises)
        for name in ("send", "forward"):
            here.starts(name)
        address, heard = app
        headers = {"authorization": f"Bearer {key.strip()}"}
        async with httpx.AsyncClient(base_url=f"{here.address}/v1", headers=headers, timeout=30) as api:
            made = await api.post("/subscribers", json={"url": address})
            assert 201 == made.status_code, made.text
            sent = await api.post("/messages", json={"to": THEM, "text": "Your parcel is on its way"})
            assert 202 == sent.status_code, sent.text
            [message] = sent.json()["data"]

            async def delivered() -> bool:
                found = (await api.get(f"/messages/{message['id']}")).json()
                return bool(found["status"] == "delivered")

            await until(delivered)
            await until(lambda: any(post["type"] == "message.delivered" for post in heard))
            feed = (await api.get("/events")).json()["data"]
        said = (await asyncio.to_thread(here.runs, "doctor"))[1]

    assert {"message.accepted", "message.delivered"} <= {event["type"] for event in feed}
    # the server of the tests does not force to disk, and their cases share its connections
    failures = [line for line in said.splitlines() if line.startswith("failure")]
    assert ["durability"] == [line.split()[1] for line in failures], said
    await bed.drop("fresh")


async def test_reports_are_in_postgres_when_they_are_answered(installed: Installation) -> None:
    await asyncio.to_thread(installed.serves)
    bodies = [json.dumps(postback("N101", f"MMSMT{number}")).encode() for number in range(600)]

    async with httpx.AsyncClient(timeout=30) as carrier:
        places = asyncio.Semaphore(64)

        async def report(body: bytes) -> int:
            async with places:
                return (await carrier.post(installed.hook, content=body)).status_code

        answers = await asyncio.gather(*map(report, bodies))

    assert {200} == set(answers)
    assert len(bodies) == await kept(installed.database_url)


async def test_a_killed_worker_and_killed_backends_lose_nothing(
    installed: Installation, bed: Bed, database_url: str
) -> None:
    serving = await asyncio.to_thread(installed.serves, 2)
    acknowledged, ended = 0, asyncio.Event()

    async def carrier(name: str) -> None:
        nonlocal acknowledged
        number = 0
        async with httpx.AsyncClient(timeout=30) as client:
            while not ended.is_set():
                number += 1
                body = json.dumps(postback("N101", f"{name}-{number}")).encode()
                try:
                    answer = await client.post(installed.hook, content=body)
                except httpx.TransportError:
                    continue  # its worker was killed: nobody said that it is stored
                assert 200 == answer.status_code, answer.text
                acknowledged += 1

    async def go_on() -> None:
        enough = acknowledged + 50
        await until(lambda: acknowledged > enough)

    callers = [asyncio.create_task(carrier(f"MMSMT{number}")) for number in range(8)]
    admin = await connect(bed.of(database_url.partition("?")[0].rpartition("/")[2]))
    for _ in range(3):
        await go_on()
        os.kill(children(serving.process.pid)[0], signal.SIGKILL)
        await admin.fetch(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    await go_on()
    ended.set()
    await asyncio.gather(*callers)
    await admin.close()

    async def all_stored() -> bool:
        return await kept(database_url) >= acknowledged

    await until(all_stored)  # what waited on disk meanwhile included
