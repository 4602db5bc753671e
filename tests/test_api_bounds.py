"""What a request of the API holds is bounded before it is validated, and so is what its flaws are told by."""

import resource
from collections.abc import AsyncIterator

import httpx
import orjson
import pytest

from tests.support.api import Api, running

MIB = 1 << 20
#: seconds of a processor for one request, its way through HTTP included; unbounded, most took 0.8 to 2
DEAREST = 0.6
#: bytes of any answer
LARGEST = 64 * 1024


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[Api]:
    async with running(database_url) as served:
        yield served


def spent() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def refused(api: Api, method: str, path: str, body: bytes = b"") -> tuple[float, httpx.Response]:
    begun = spent()
    answer = await api.client.request(
        method, path, content=body, headers={"content-type": "application/json"} if body else {}
    )
    return spent() - begun, answer


BODIES = {
    "numbers": b'{"to":[' + b"0," * (MIB // 2 - 10) + b"0]}",
    "objects": b'{"media":[' + b"{}," * (MIB // 3 - 10) + b"{}]}",
    "fields": b"{" + b",".join(b'"%d":0' % number for number in range(MIB // 10)) + b"}",
    "arrays": b'{"metadata":{"a":[' + b"[]," * (MIB // 3 - 10) + b"[]]}}",
    "an array": b"[" + b"0," * (MIB // 2 - 10) + b"0]",
    "as many as are read": b'{"to":[' + b"0," * 9_900 + b"0]}",
    "as many fields as are read": b"{" + b",".join(b'"%d":0' % number for number in range(9_900)) + b"}",
}


@pytest.mark.parametrize("what", BODIES)
@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/lookup"])
async def test_a_body_of_a_mebibyte_costs_little_whatever_it_holds(api: Api, what: str, path: str) -> None:
    seconds, answer = await refused(api, "POST", path, BODIES[what])

    assert 422 == answer.status_code
    assert seconds < DEAREST
    assert len(answer.content) < LARGEST


async def test_a_body_of_too_many_values_is_told_so(api: Api) -> None:
    _, answer = await refused(api, "POST", "/v1/messages", BODIES["numbers"])

    assert "/to: The body is too much: it may hold 10000 values." == answer.json()["detail"]


async def test_what_an_error_quotes_is_bounded(api: Api) -> None:
    _, answer = await refused(api, "POST", "/v1/messages", orjson.dumps({"to": "+1", "x" * (MIB // 2): 1}))

    assert 422 == answer.status_code
    assert ["/" + "x" * 99 + "…"] == [
        error["pointer"] for error in answer.json()["errors"] if "x" in error["pointer"]
    ]
    assert len(answer.content) < 2048


async def test_a_query_of_many_parameters_is_not_read(api: Api) -> None:
    seconds, answer = await refused(api, "GET", "/v1/messages?" + "&".join(["limit=1"] * 5000))

    assert (422, "The query has more than 100 parameters.") == (answer.status_code, answer.json()["detail"])
    assert seconds < DEAREST
