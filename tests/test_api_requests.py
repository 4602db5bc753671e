"""What the API makes of requests that it cannot do as they stand."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from receiver.read.ids import cursor_of_sequence
from tests.support.api import Api, build, running

MESSAGES = "/v1/messages"
NOWHERE = f"{MESSAGES}/019aa5b2-7c00-7000-8000-000000000001"


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[Api]:
    async with running(database_url) as served:
        yield served


WRONG_PARAMETERS = [
    ("statsu=sent", "unknown_field", "/statsu"),
    ("status=lost", "invalid_field", "/status"),
    ("status=sent&status=read", "invalid_field", "/status"),
    ("limit=0", "invalid_field", "/limit"),
    ("limit=201", "invalid_field", "/limit"),
    ("limit=%2B5", "invalid_field", "/limit"),
    ("conflict=yes", "invalid_field", "/conflict"),
    ("created_after=yesterday", "invalid_field", "/created_after"),
    ("created_after=2026-02-30T00:00:00Z", "invalid_field", "/created_after"),
    ("created_after=0001-01-01T00:00:00%2B23:00", "invalid_field", "/created_after"),
    ("contact=%00", "invalid_field", "/contact"),
    ("client_reference=", "invalid_field", "/client_reference"),
    ("a%2Fb~c=1", "unknown_field", "/a~1b~0c"),
    ("cursor=nonsense", "invalid_cursor", "/cursor"),
    ("cursor=%ED%A0%80", "invalid_cursor", "/cursor"),
    (f"cursor={cursor_of_sequence(7)}", "invalid_cursor", "/cursor"),
]


async def test_a_wrong_parameter_is_named(api: Api) -> None:
    actual = []
    for query, _, _ in WRONG_PARAMETERS:
        response = await api.client.get(f"{MESSAGES}?{query}")
        problem = response.json()
        assert (422, "application/problem+json") == (response.status_code, response.headers["content-type"])
        assert {"type", "title", "status", "detail", "code", "errors"} == problem.keys()
        (error,) = problem["errors"]
        actual.append((query, problem["code"], error["pointer"]))

    assert WRONG_PARAMETERS == actual


WRONG_BODIES = [
    (b"", "invalid_field", ""),
    (b"[]", "invalid_field", ""),
    (b'{"to": "\\ud800"}', "invalid_field", ""),
    (b'{"to": 1e400}', "invalid_field", ""),
    (b"[" * 2000, "invalid_field", ""),
    (b"{}", "invalid_field", "/to"),
    (b'{"to": []}', "invalid_field", "/to"),
    (b'{"to": ["+12065550123", 5]}', "invalid_field", "/to/1"),
    (b'{"to": "+1", "txt": "x"}', "unknown_field", "/txt"),
    (b'{"to": "+1", "text": "a\\u0000b"}', "invalid_field", "/text"),
    (b'{"to": "+1", "metadata": {"a": ["\\u0000"]}}', "invalid_field", "/metadata/a/0"),
    (b'{"to": "+1", "metadata": {"\\u0000": 1}}', "invalid_field", "/metadata"),
    (b'{"to": "+1", "media": [{"url": "ftp://x/y"}]}', "invalid_field", "/media/0/url"),
    (b'{"to": "+1", "media": [{"url": "http://[::"}]}', "invalid_field", "/media/0/url"),
    (b'{"to": "+1", "media": [{"url": "http://[:::]/"}]}', "invalid_field", "/media/0/url"),
    (b'{"to": "+1", "media": [{"uri": "x"}]}', "unknown_field", "/media/0/uri"),
    (b'{"to": "+1", "media": [{}]}', "invalid_field", "/media/0"),
    (b'{"to": "+1", "expires_at": 5}', "invalid_field", "/expires_at"),
    (b'{"to": "+1", "template_id": "x"}', "invalid_field", "/template_id"),
    (b'{"to": "+1", "client_reference": "' + b"x" * 256 + b'"}', "invalid_field", "/client_reference"),
]


async def test_a_wrong_field_is_named(api: Api) -> None:
    actual = []
    for body, _, _ in WRONG_BODIES:
        response = await api.client.post(MESSAGES, content=body)
        (error,) = response.json()["errors"]
        assert 422 == response.status_code
        actual.append((body, response.json()["code"], error["pointer"]))

    assert WRONG_BODIES == actual
    assert [] == api.submit.calls


async def test_a_body_without_end_of_nesting_is_refused(api: Api) -> None:
    depths: Any = {"to": "+1", "metadata": {}}
    inner = depths["metadata"]
    for _ in range(40):
        inner["a"] = {}
        inner = inner["a"]

    response = await api.client.post(MESSAGES, json=depths)

    assert 422 == response.status_code
    assert "nested deeper" in response.json()["detail"]


async def test_an_idempotency_key_has_1_to_255_printable_characters(api: Api) -> None:
    for key in (b"", b'""', b'"unfinished', b"x" * 256, "caf\u00e9".encode("latin-1")):
        response = await api.client.post(
            MESSAGES, json={"to": "+12065550123"}, headers=[(b"Idempotency-Key", key)]
        )
        assert (key, 422, "invalid_field") == (key, response.status_code, response.json()["code"])


async def test_a_body_over_the_cap_is_413(api: Api) -> None:
    response = await api.client.post(MESSAGES, json={"to": "+12065550123", "text": "x" * (1 << 20)})

    assert (413, "content_too_large") == (response.status_code, response.json()["code"])


async def test_a_body_that_is_not_json_by_its_type_is_415(api: Api) -> None:
    response = await api.client.post(MESSAGES, data={"to": "+12065550123"})

    assert (415, "invalid_field") == (response.status_code, response.json()["code"])


NOT_THERE = [
    ("GET", "/v1/nothing", 404),
    ("GET", NOWHERE, 404),
    ("GET", f"{NOWHERE}/events", 404),
    ("GET", f"{MESSAGES}/%00", 404),
    ("GET", f"{MESSAGES}/not-an-id", 404),
    ("GET", "/v1/payloads/019aa5b2-7c00-7000-8000-000000000001", 404),
    ("GET", "/v1/templates/019aa5b2-7c00-7000-8000-000000000001", 404),
    ("DELETE", MESSAGES, 405),
    ("GET", f"{MESSAGES}/lookup", 405),
]


async def test_what_is_not_there_is_a_problem_too(api: Api) -> None:
    actual = []
    for method, path, _ in NOT_THERE:
        response = await api.client.request(method, path)
        problem = response.json()
        assert ("application/problem+json", "not_found", response.status_code) == (
            response.headers["content-type"],
            problem["code"],
            problem["status"],
        )
        actual.append((method, path, response.status_code))

    assert NOT_THERE == actual


async def test_a_wrong_method_is_told_the_right_ones(api: Api) -> None:
    response = await api.client.delete(MESSAGES)

    assert {"GET", "HEAD", "POST"} == set(response.headers["allow"].split(", "))


async def test_every_answer_carries_the_callers_request_id_or_a_new_one(api: Api) -> None:
    own = await api.client.get("/healthz", headers={"X-Request-Id": "mine-1"})
    made = await api.client.get("/v1/nothing")
    unfit = await api.client.get("/healthz", headers={"X-Request-Id": "two words"})

    assert "mine-1" == own.headers["x-request-id"]
    assert made.headers["x-request-id"] != unfit.headers["x-request-id"] != "two words"


async def test_an_error_of_ours_tells_nothing_of_our_inside(api: Api) -> None:
    api.submit.refusal = RuntimeError("a secret of the house")

    response = await api.client.post(MESSAGES, json={"to": "+12065550123"})

    assert (500, "unavailable") == (response.status_code, response.json()["code"])
    assert "secret" not in response.text
    assert response.headers["x-request-id"]


async def test_without_its_database_the_api_asks_for_patience(free_port: int) -> None:
    app, *_ = build(f"postgresql://postgres@127.0.0.1:{free_port}/postback")
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://postback") as client:
        response = await client.get(MESSAGES, headers={"Authorization": f"Bearer pb_{'0' * 32}.{'x' * 43}"})

    assert (503, "unavailable", "5") == (
        response.status_code,
        response.json()["code"],
        response.headers["retry-after"],
    )


async def test_readiness_is_whether_a_webhook_can_be_stored(api: Api) -> None:
    ready = await api.client.get("/readyz", headers={"Authorization": ""})
    api.health[0] = False
    unready = await api.client.get("/readyz")

    assert (200, {"status": "ready"}) == (ready.status_code, ready.json())
    assert (503, "unavailable") == (unready.status_code, unready.json()["code"])
    assert {"status": "ok"} == await api.get("/healthz")
