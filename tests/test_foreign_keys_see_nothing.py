"""A key that is bound to channels sees nothing of the others, on any route that the OpenAPI document has.

Every route is tried with what belongs to another channel; one that this file cannot try makes it fail.
"""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from uuid_utils.compat import uuid7

from receiver import auth
from tests.support.foreign import BODIES, CONTACT, FOREIGN, FOREIGN_NUMBER, objects, operations
from tests.support.receiver import running

#: the key's own channel and number
OWN, OWN_NUMBER = "swift-us", "+18005550000"


@dataclass
class House:
    """*named* are the foreign objects by the first word of their path; *marks* what no answer may hold."""

    client: httpx.AsyncClient
    owner: dict[str, str]
    bound: dict[str, str]
    named: dict[str, dict[str, str]]
    marks: set[str]


@pytest.fixture
async def house(database_url: str) -> AsyncIterator[House]:
    keyed = {"tokens": ["a-token-of-tests"], "api_key": "k"}
    channels = {
        FOREIGN: {"provider": "sinch_mms", **keyed, "from": [FOREIGN_NUMBER]},
        OWN: {"provider": "swift", **keyed, "from": [OWN_NUMBER]},
    }
    async with (
        running(database_url, channels, private_networks=["127.0.0.1/32"]) as receiver,
        httpx.AsyncClient(base_url=receiver.url, timeout=10) as client,
    ):
        engine, known, scopes = receiver.app._engine, receiver.app._secrets, list(auth.Scope)
        bound = await auth.create_key(engine, known, name="bound", scopes=scopes, channels=[OWN])
        keys = [{"Authorization": f"Bearer {key}"} for key in (receiver.key, bound)]
        named = await objects(client, database_url, keys[0])
        ids = {value for names in named.values() for value in names.values()} - {FOREIGN_NUMBER, CONTACT}
        yield House(client, keys[0], keys[1], named, {*ids, FOREIGN, FOREIGN_NUMBER, CONTACT, "foreign-ref"})


async def test_what_a_path_names_is_not_there(house: House) -> None:
    tried, there = [], []
    for method, path, operation in operations():
        if "{" not in path:
            continue
        # an unknown parameter, or a body that is not known here, is a KeyError: add what it names above
        named = house.named[path.split("/")[2]]
        filled = re.sub(r"{(\w+)}", lambda found: named[found[1]], path)  # noqa: B023
        body: dict[str, Any] = {"json": BODIES[method, path]} if "requestBody" in operation else {}
        answer = await house.client.request(method, filled, headers=house.bound, **body)
        tried.append((method, path, answer.status_code, house.marks & set(_words(answer.text))))
        if method == "get":
            there.append((path, (await house.client.get(filled, headers=house.owner)).status_code))

    assert [(method, path, 404, set()) for method, path, *_ in tried] == tried
    assert [(path, 200) for path, _ in there] == there
    assert len(tried) > 15


async def test_lists_leave_out_what_is_foreign(house: House) -> None:
    lists = [
        path
        for method, path, _ in operations()
        if method == "get" and "{" not in path and not path.endswith("/stream")
    ]
    told = {path: (await house.client.get(path, headers=house.bound)).text for path in lists}
    control = {path: (await house.client.get(path, headers=house.owner)).text for path in lists}

    assert {path: set() for path in lists} == {
        path: house.marks & _words(text) for path, text in told.items()
    }
    assert [] == [path for path, text in control.items() if not house.marks & _words(text)]


async def test_the_stream_leaves_out_what_is_foreign(house: House) -> None:
    told = {name: await _listen(house, key) for name, key in (("own", house.bound), ("all", house.owner))}

    assert set() == house.marks & _words(told["own"])
    assert house.marks & _words(told["all"])


async def _listen(house: House, key: dict[str, str]) -> str:
    """What the stream says in half a second."""
    said = ""
    with contextlib.suppress(TimeoutError):
        async with (
            asyncio.timeout(0.5),
            house.client.stream("GET", "/v1/events/stream", headers=key) as answer,
        ):
            async for piece in answer.aiter_text():
                said += piece
    return said


def refusals(house: House) -> dict[str, list[tuple[dict[str, Any], str]]]:
    """By path, bodies that name what is foreign, and the code with which that is not there."""
    named = {word: next(iter(names.values())) for word, names in house.named.items()}
    mine = {"to": CONTACT, "text": "x", "channel": OWN}
    return {
        "/v1/messages": [
            ({**mine, "channel": FOREIGN}, "unknown_channel"),
            ({"to": CONTACT, "template_id": named["templates"]}, "invalid_field"),
            ({**mine, "template_id": named["templates"]}, "invalid_field"),
            ({**mine, "media": [{"id": named["media"]}]}, "media_error"),
        ],
        "/v1/templates": [({"channel": FOREIGN, "name": "n", "text": "x"}, "unknown_channel")],
        "/v1/subscribers": [({"url": "http://127.0.0.1:9/", "channels": [FOREIGN]}, "unknown_channel")],
    }


async def test_a_body_that_names_what_is_foreign_is_refused_as_if_it_were_not_there(house: House) -> None:
    for path, bodies in refusals(house).items():
        for body, code in bodies:
            answer = await house.client.post(path, json=body, headers=house.bound)
            nowhere = re.sub(r"[0-9a-f-]{36}", str(uuid7()), str(body)).replace(FOREIGN, "nowhere")
            imagined = await house.client.post(
                path,
                content=nowhere.replace("'", '"'),
                headers={**house.bound, "Content-Type": "application/json"},
            )

            assert (path, 422, code) == (path, answer.status_code, answer.json()["code"]), answer.text
            assert imagined.text == answer.text.replace(FOREIGN, "nowhere")


async def test_looking_up_and_replaying_what_is_foreign_finds_nothing(house: House) -> None:
    names = {
        "ids": [house.named["messages"]["id"]],
        "provider_message_ids": ["c1", "in-1"],
        "client_references": ["foreign-ref"],
    }
    looked = await house.client.post("/v1/messages/lookup", json=names, headers=house.bound)
    control = await house.client.post("/v1/messages/lookup", json=names, headers=house.owner)
    replays = [
        (await house.client.post("/v1/payloads/replay", json=body, headers=house.bound)).json()
        for body in ({}, {"ids": [house.named["payloads"]["id"]]}, {"channel": FOREIGN})
    ]

    assert {"data": [], "missing": names} == looked.json()
    assert 3 == len(control.json()["data"])
    assert [([], [])] * 3 == [(one["payloads"], one["messages"]) for one in replays]


def test_every_route_that_takes_a_body_is_tried_with_what_is_foreign() -> None:
    known = {"/v1/messages/lookup", "/v1/payloads/replay", "/v1/media"}  # above; a file names nothing
    house = House(httpx.AsyncClient(), {}, {}, {w: {"id": ""} for w in ("templates", "media")}, set())
    taking = {path for method, path, op in operations() if "requestBody" in op and "{" not in path}

    assert taking == known | refusals(house).keys()


def _words(text: str) -> set[str]:
    return set(re.findall(r"[+\w-]+", text))
