"""The OpenAPI document says what the API does, no less and no more."""

import asyncio
import base64
import re
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

import asyncpg
import httpx
import hypothesis
import pytest
import schemathesis
import standardwebhooks
import uvicorn
from hypothesis import HealthCheck, Phase, strategies
from pydantic import ValidationError
from schemathesis import checks
from schemathesis.core.result import Ok

from models.events import Inbound, Report
from models.status import Status
from receiver import api as routes
from receiver.api import reference
from receiver.auth import create_key
from receiver.problems import Code
from receiver.read import examples, shapes
from receiver.read.filters import MAX_WAIT
from receiver.requests.base import Request
from tests.support import lists
from tests.support.api import SECRETS, Api, build, running
from tests.support.records import accept, outgoing, tell

EXAMPLES_PER_OPERATION = 12
WAITS = [f"{seconds}" for seconds in range(1, MAX_WAIT + 1)]


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[Api]:
    async with running(database_url) as served:
        yield served


def test_every_route_is_in_the_document_and_the_other_way_round() -> None:
    served = {
        (re.sub(r"{(\w+):\w+}", r"{\1}", route.path), method)
        for route in routes.routes()
        for method in (route.methods or set()) - {"HEAD"}
    }
    described = {
        (path, method.upper()) for path, item in routes.description()["paths"].items() for method in item
    }

    assert served == described


def test_every_reference_of_the_document_leads_somewhere() -> None:
    document = routes.description()
    referenced = set(re.findall(r"#/components/schemas/(\w+)", str(document)))

    assert "3.1.0" == document["openapi"]
    assert referenced == document["components"]["schemas"].keys()


def test_the_webhooks_section_is_what_subscribers_are_posted() -> None:
    """The headers of Standard Webhooks, as its reference library makes them, and a body of our shape."""
    document = routes.description()
    posted = document["webhooks"]["event"]["post"]
    body = posted["requestBody"]["content"]["application/json"]["schema"]
    secret, now = f"whsec_{base64.b64encode(bytes(24)).decode()}", datetime.now(UTC)
    signature = standardwebhooks.Webhook(secret).sign(examples.EVENT["id"], now, "{}")
    made = {
        "webhook-id": examples.EVENT["id"],
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": f"{signature} {signature}",
    }
    patterns = {one["name"]: one["schema"].get("pattern", "") for one in posted["parameters"]}
    shape = document["components"]["schemas"][body["$ref"].rpartition("/")[2]]

    assert {"type", "timestamp", "data"} == shape["properties"].keys()
    assert made.keys() == patterns.keys()
    assert [] == [name for name, pattern in patterns.items() if not re.search(pattern, made[name])]


def test_operation_ids_are_unique() -> None:
    document = routes.description()
    items = [*document["paths"].values(), *document["webhooks"].values()]
    ids = [of["operationId"] for item in items for of in item.values()]

    assert sorted(set(ids)) == sorted(ids)


@pytest.mark.parametrize(
    ("shape", "example"),
    [
        (shapes.Message, examples.MESSAGE),
        (shapes.Event, examples.EVENT),
        (shapes.Template, examples.TEMPLATE),
        (shapes.Payload, examples.PAYLOAD),
    ],
)
def test_examples_are_what_their_shapes_make(shape: type[shapes.Shape], example: dict[str, Any]) -> None:
    assert example == shape.model_validate(example).model_dump(mode="json")


async def test_the_documents_are_written_once_however_many_ask(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []

    def html(document: Any) -> str:
        written.append(document["info"]["title"])
        return reference.html(document)

    monkeypatch.setattr(routes, "html", html)
    routes._docs.cache_clear()

    pages = {
        path: {(await api.client.get(path)).content for _ in range(20)} for path in ("/docs", "/openapi.json")
    }

    assert [1, 1] == [len(contents) for contents in pages.values()]
    assert 1 == len(written)


async def test_the_reference_explains_every_operation_and_code_without_outside_help(api: Api) -> None:
    response = await api.client.get("/docs", headers={"Authorization": ""})
    page = Page(response.text)

    assert "text/html; charset=utf-8" == response.headers["content-type"]
    assert {str(code) for code in Code} <= page.ids
    assert page.links - {"/openapi.json"} <= {f"#{one}" for one in page.ids}
    assert not page.loaded
    assert len(page.ids) == len(re.findall(r' id="', response.text))
    for path in routes.description()["paths"]:
        assert path in response.text


class Page(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: set[str] = set()
        self.loaded: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.ids |= {given["id"] or ""} if "id" in given else set()
        self.links |= {given["href"] or ""} if tag == "a" else set()
        self.loaded += [tag] if tag in ("script", "link", "img", "iframe") else []


@pytest.fixture
def server(database_url: str, free_port: int) -> Iterator[tuple[str, dict[str, str]]]:
    """The API on loopback with some messages in it, and the headers of a key for everything."""
    app, engine, _, _ = build(database_url)

    async def fill() -> str:
        await tell(database_url, Report("c1", "N101", Status.SENT, ("c1", "N101"), client_reference="x"))
        await tell(database_url, Report("c1", "E102", Status.REJECTED, ("c1",), client_reference="x"))
        await accept(database_url, outgoing(client_reference="order-42"))
        for name in ("in-1", "in-2"):
            await tell(database_url, Inbound(name, (name,), sender="+12065550123", text="Yes"))
        await tell(database_url, Inbound("in-3", ("in-3",), sender="+12065550199", text="Yes"))
        return await create_key(engine, SECRETS, name="fuzz", scopes=("read", "send", "admin"))

    key = asyncio.run(fill())
    listening = socket.create_server(("127.0.0.1", free_port))
    running = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="on", ws="none"))
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]})
    thread.start()
    yield f"http://127.0.0.1:{free_port}", {"Authorization": f"Bearer {key}"}
    running.should_exit = True
    thread.join(timeout=10)
    listening.close()


def test_whatever_the_document_allows_or_forbids_is_answered_as_it_says(
    server: tuple[str, dict[str, str]], database_url: str
) -> None:
    """Half of the requests for a list are for a page that it has named itself."""
    url, headers = server
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    # JSON Schema has no way to say that no string may hold a NUL; that it is refused has a test of its own
    schema.config.generation.allow_x00 = False
    ways = asyncio.run(_followed(database_url, url, headers))
    tried = 0
    for found in schema.get_all_operations():
        assert isinstance(found, Ok), found
        operation = found.ok()
        if operation.path.endswith("/stream"):
            continue  # an answer without an end
        takes_something = any((operation.path_parameters, operation.query, operation.headers, operation.body))
        for mode in schemathesis.GenerationMode:
            if takes_something or mode is schemathesis.GenerationMode.POSITIVE:
                positive = mode is schemathesis.GenerationMode.POSITIVE
                way = ways.get(f"{operation.method.upper()} {operation.path}") if positive else None
                _fuzz(operation, mode, headers, way)
                tried += 1

    assert tried > len(routes.routes())


async def _followed(
    database_url: str, url: str, headers: dict[str, str]
) -> dict[str, tuple[dict[str, str], dict[str, str]]]:
    """Path parameters and query of the second page of each list that has one, by the list."""
    ways = {}
    db = await asyncpg.connect(database_url)
    async with httpx.AsyncClient(base_url=url, headers=headers) as client:
        for one in lists.described():
            named, there = await lists.ids(db, lists.ROWS_OF[str(one)])
            if len(there) > 1 and not one.in_body:
                first = await client.get(one.path.replace("{id}", named), params={"limit": 1})
                way = {one.cursor: first.json()["next_cursor"]}
                ways[str(one)] = ({"id": named} if named else {}), way
    await db.close()
    assert {"GET /v1/conversations/{id}/messages", "GET /v1/messages/{id}/events"} < ways.keys()
    return ways


def _excluded(case: Any) -> list[Any]:
    """A cursor is opaque, so no schema says which ones a list gave out; nor what a picture is made of, where
    an app may live and which channels there are."""
    given = {*(case.query or {}), *(case.body if isinstance(case.body, dict) else {})}
    checked_further = case.path == "/v1/media" or case.path.startswith("/v1/subscribers")
    opaque = {"cursor", "after"} & given or checked_further
    return [checks.positive_data_acceptance] if opaque else []


def _fuzz(operation: Any, mode: Any, headers: dict[str, str], way: Any) -> None:
    """*way* are path parameters and query of a page that a list has named, where it has."""
    cases = operation.as_strategy(generation_mode=mode)

    @hypothesis.given(case=cases, follows=strategies.booleans() if way else strategies.just(False))
    @hypothesis.settings(
        max_examples=EXAMPLES_PER_OPERATION,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def run(case: Any, *, follows: bool) -> None:
        if follows:
            case.path_parameters = {**(case.path_parameters or {}), **way[0]}
            case.query = {**(case.query or {}), **way[1]}
        if case.path == "/v1/events" and f"{(case.query or {}).get('wait')}" in WAITS:
            case.query.pop("wait")  # it would be waited for
        response = case.call(headers=headers)
        excluded = [] if follows else _excluded(case)
        case.validate_response(response, headers=headers, excluded_checks=excluded)

    run()


INTEGERS = [
    (model, name)
    for model in Request.__subclasses__()
    for name, schema in model.model_json_schema().get("properties", {}).items()
    if schema.get("type") == "integer"
]


def test_a_number_without_a_fraction_is_an_integer_as_json_schema_has_it() -> None:
    assert [2] * len(INTEGERS) == [
        getattr(model.model_validate({name: 2.0}), name) for model, name in INTEGERS
    ]
    assert len(INTEGERS) > 1
    for model, name in INTEGERS:
        for wrong in (2.5, True, "2", 1e999):
            with pytest.raises(ValidationError):
                model.model_validate({name: wrong})
