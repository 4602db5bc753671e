"""What every route does alike: headers of every answer, addresses, methods, queries."""

from collections.abc import AsyncIterator

import pytest

from tests.support.api import Api, running
from tests.support.installation import installation

MESSAGES = "/v1/messages"
NOWHERE = f"{MESSAGES}/019aa5b2-7c00-7000-8000-000000000001"


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[Api]:
    async with running(database_url) as served:
        yield served


async def test_every_answer_to_a_key_says_what_is_left_of_its_rate(api: Api) -> None:
    api.submit.refusal = RuntimeError("of ours")
    weak = await api.key("send")
    answers = [
        await api.client.get(MESSAGES),
        await api.client.get(NOWHERE),
        await api.client.get(f"{MESSAGES}?statsu=sent"),
        await api.client.get(MESSAGES, headers=weak),
        await api.client.post(MESSAGES, content=b"x", headers={"Content-Type": "text/plain"}),
        await api.client.post(MESSAGES, json={"to": "+12065550123"}),
    ]

    assert [200, 404, 422, 403, 415, 500] == [answer.status_code for answer in answers]
    assert [True] * len(answers) == [
        {"ratelimit", "ratelimit-policy", "x-request-id"} <= answer.headers.keys() for answer in answers
    ]


async def test_beyond_the_rate_the_answer_says_so_too(database_url: str) -> None:
    async with running(database_url, rate=1) as api:
        await api.client.get(MESSAGES)
        answer = await api.client.get(MESSAGES)

    assert (429, "1") == (answer.status_code, answer.headers["retry-after"])
    assert '"default";r=0;t=1' == answer.headers["ratelimit"]


async def test_an_answer_without_a_key_has_its_request_id(api: Api) -> None:
    answers = [
        await api.client.get(path, headers={"Authorization": "", "X-Request-Id": "mine"})
        for path in (MESSAGES, "/v1/nothing", "/healthz", "/docs", "/openapi.json")
    ]
    answers.append(await api.client.patch(MESSAGES, headers={"X-Request-Id": "mine"}))

    assert [401, 404, 200, 200, 200, 405] == [answer.status_code for answer in answers]
    assert ["mine"] * len(answers) == [answer.headers["x-request-id"] for answer in answers]


@pytest.mark.parametrize("path", [f"{MESSAGES}/", f"{NOWHERE}/", "/v1", "/v1/", "//v1/messages", "/docs/"])
async def test_an_address_has_one_spelling(api: Api, path: str) -> None:
    answer = await api.client.get(f"http://postback{path}")

    assert (404, "not_found") == (answer.status_code, answer.json()["code"])
    assert "application/problem+json" == answer.headers["content-type"]


@pytest.mark.parametrize("method", ["OPTIONS", "PATCH", "TRACE", "PROPFIND"])
async def test_a_method_that_an_address_does_not_take_is_told_those_that_it_takes(
    api: Api, method: str
) -> None:
    answer = await api.client.request(method, NOWHERE)

    assert (405, {"GET", "HEAD"}) == (answer.status_code, set(answer.headers["allow"].split(", ")))
    assert "application/problem+json" == answer.headers["content-type"]


async def test_head_is_get_without_a_body(database_url: str) -> None:
    async with installation(database_url, sender=False) as home:
        for path in (MESSAGES, NOWHERE, "/openapi.json"):
            get, head = await home.api.get(path), await home.api.head(path)

            assert (get.status_code, b"") == (head.status_code, head.content)
            assert get.headers["content-length"] == head.headers["content-length"]


NO_TEXT = [
    ("contact=%FF", "invalid_field", "/contact"),
    ("client_reference=a%C3", "invalid_field", "/client_reference"),
    ("status=%80", "invalid_field", "/status"),
    ("created_after=%FE", "invalid_field", "/created_after"),
    ("conflict=%FE", "invalid_field", "/conflict"),
    ("limit=%FE", "invalid_field", "/limit"),
    ("cursor=%FE", "invalid_cursor", "/cursor"),
    ("%FF=1", "unknown_field", ""),
    ("contact=1&contact=1", "invalid_field", "/contact"),
]


@pytest.mark.parametrize(("query", "code", "pointer"), NO_TEXT)
async def test_a_query_that_is_no_utf_8_is_refused(api: Api, query: str, code: str, pointer: str) -> None:
    answer = await api.client.get(f"{MESSAGES}?{query}")

    assert (422, code, pointer) == (
        answer.status_code,
        answer.json()["code"],
        answer.json()["errors"][0]["pointer"],
    )


async def test_a_feed_filter_that_is_no_utf_8_is_refused(api: Api) -> None:
    answer = await api.client.get("/v1/events?type=message.sent,%FF")

    assert (422, "invalid_field") == (answer.status_code, answer.json()["code"])
