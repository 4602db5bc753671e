"""What stands in the body of an operation that takes none is refused, never ignored."""

from collections.abc import AsyncIterator

import httpx
import pytest
from uuid_utils.compat import uuid7

from receiver import api as routes
from receiver.api.reading import MAX_BODY
from tests.support.receiver import Receiver, running

JSON = {"content-type": "application/json"}
FORM = {"content-type": "application/x-www-form-urlencoded"}
#: a body, its headers, and the status, the code and the pointer of the refusal
REFUSED = [
    (b'{"nonsense": 1}', JSON, 422, "unknown_field", "/nonsense"),
    (b'{"nonsense": 1}', {}, 422, "unknown_field", "/nonsense"),
    (b"[]", JSON, 422, "invalid_field", ""),
    (b"null", JSON, 422, "invalid_field", ""),
    (b"{", JSON, 422, "invalid_field", ""),
]
#: what says nothing
EMPTY = [(b"", JSON), (b"", FORM), (b"{}", JSON), (b" {} ", {})]


def described(*, takes_body: bool) -> list[tuple[str, str]]:
    """Method and path of the operations behind a key that do without a body: those that take none at all, or
    one that may be left out."""
    return [
        (method.upper(), path)
        for path, item in routes.description()["paths"].items()
        for method, operation in item.items()
        if operation["security"] and ("requestBody" in operation) == takes_body
        if not operation.get("requestBody", {}).get("required")
    ]


@pytest.fixture
async def receiver(database_url: str) -> AsyncIterator[Receiver]:
    async with running(database_url) as served:
        served.client.base_url = served.url
        served.client.headers["authorization"] = f"Bearer {served.key}"
        yield served


async def asked(
    receiver: Receiver, method: str, path: str, content: bytes, headers: dict[str, str]
) -> httpx.Response:
    """The answer; of the stream, which has no end, its head."""
    for name in ("id", "our_number", "contact"):
        path = path.replace(f"{{{name}}}", str(uuid7()) if name == "id" else "+12065550123")
    async with receiver.client.stream(method, path, content=content, headers=headers) as answer:
        if not answer.headers["content-type"].startswith("text/event-stream"):
            await answer.aread()
        return answer


async def test_every_operation_without_a_body_refuses_what_stands_in_one(receiver: Receiver) -> None:
    operations = described(takes_body=False)
    assert {"GET", "POST", "PUT", "DELETE"} == {method for method, _ in operations}
    for method, path in operations:
        for content, headers, *refusal in [*REFUSED, (b"nonsense=1", FORM, 422, "invalid_field", "")]:
            answer = await asked(receiver, method, path, content, headers)
            problem = answer.json()
            found = [answer.status_code, problem["code"], problem["errors"][0]["pointer"]]
            assert (method, path, content, refusal) == (method, path, content, found)


async def test_every_operation_whose_body_may_be_left_out_holds_it_to_its_fields(receiver: Receiver) -> None:
    operations = described(takes_body=True)
    assert ("POST", "/v1/conversations/{id}/read") in operations
    for method, path in operations:
        for content, headers, *refusal in REFUSED:
            answer = await asked(receiver, method, path, content, headers)
            problem = answer.json()
            found = [answer.status_code, problem["code"], problem["errors"][0]["pointer"]]
            assert (method, path, content, refusal) == (method, path, content, found)
        assert 415 == (await asked(receiver, method, path, b"nonsense=1", FORM)).status_code


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b"[]", "The body must be a JSON object."),
        (b"{", "The body is not JSON: unexpected end of data: line 1 column 2 (char 1)."),
        (b'{"up_to": 5}', "/up_to: must be a UUID"),
        (b'{"up_to": "the last one"}', "/up_to: must be a UUID"),
        (b'{"upto": null}', "/upto: there is no such field"),
    ],
)
async def test_a_refusal_is_a_sentence_and_not_in_the_words_of_python(
    receiver: Receiver, body: bytes, detail: str
) -> None:
    answer = await asked(receiver, "POST", "/v1/conversations/{id}/read", body, JSON)

    assert detail == answer.json()["detail"]


async def test_an_empty_body_and_an_empty_object_are_no_body(receiver: Receiver) -> None:
    for method, path in described(takes_body=False) + described(takes_body=True):
        without = (await asked(receiver, method, path, b"", {})).status_code
        assert without in (200, 202, 404), path
        for content, headers in EMPTY:
            answer = await asked(receiver, method, path, content, headers)
            assert (method, path, content, without) == (method, path, content, answer.status_code)


async def test_a_body_that_nobody_asked_for_is_bounded_as_any_other(receiver: Receiver) -> None:
    answer = await asked(receiver, "POST", "/v1/messages/{id}/cancel", bytes(MAX_BODY + 1), JSON)

    assert 413 == answer.status_code
