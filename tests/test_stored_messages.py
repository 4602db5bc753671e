"""Messages stored with Sinch MMS: found by every name of a postback, and sent as they were made."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from tests.support.installation import CHANNEL, Installation
from tests.support.patience import PATIENCE
from tests.support.wire import Sent, Wire, wired

TRACKING_ID, MMS_ID = "MMSMT0001", "35674"


class Carrier:
    """Answers as the page says; *tracking_ids* are those of its answers, in turn."""

    def __init__(self) -> None:
        self.let_go = asyncio.Event()
        self.let_go.set()
        self.called = asyncio.Event()
        self._numbers = itertools.count(1)

    async def answer(self, sent: Sent) -> Any:
        number = next(self._numbers)
        self.called.set()
        await self.let_go.wait()
        answer = {"status": "success", "tracking-id": f"MMSMT{number:04}"}
        return answer | ({"mms-id": MMS_ID} if sent.json["action"] == "savemms" else {"to": sent.json["to"]})


@pytest.fixture
def carrier() -> Carrier:
    return Carrier()


@pytest.fixture
async def home(database_url: str, carrier: Carrier) -> AsyncIterator[tuple[Installation, Wire]]:
    async with wired(database_url, "sinch_mms", carrier.answer) as made:
        yield made


async def stored(home: Installation, **fields: Any) -> str:
    body = {"channel": CHANNEL, "name": "spring", "text": "Hello", **fields}
    answer = await home.api.post("/v1/templates", json=body)
    assert 201 == answer.status_code, answer.text
    return str(answer.json()["id"])


async def until(home: Installation, template_id: str, state: str) -> dict[str, Any]:
    async with asyncio.timeout(PATIENCE):
        while True:
            template: dict[str, Any] = (await home.api.get(f"/v1/templates/{template_id}")).json()
            if template["state"] == state:
                return template
            await asyncio.sleep(0.02)


def postback(code: str, **fields: str) -> bytes:
    return orjson.dumps({"origin": "MMS_MT", "code": code, **fields})


async def states(home: Installation) -> list[str]:
    return [payload["state"] for payload in (await home.api.get("/v1/payloads")).json()["data"]]


@pytest.mark.parametrize(
    ("code", "state"), [("N003", "ready"), ("E002", "failed"), ("E003", "failed"), ("E004", "failed")]
)
async def test_news_is_found_by_the_tracking_id_of_the_call_that_stored_it(
    home: tuple[Installation, Wire], code: str, state: str
) -> None:
    here, wire = home
    template_id = await stored(here)
    # a send goes out once the answer to the call is written down
    sent = await here.send(text=None, template_id=template_id)
    await here.until(sent["id"], "queued")
    await here.hook(postback(code, **{"tracking-id": TRACKING_ID}))

    await until(here, template_id, state)
    assert [template_id] == [one["id"] for one in (await here.api.get("/v1/templates")).json()["data"]]
    assert ["applied"] == await states(here)
    assert ["savemms", "sendsavedmms"] == [call.json["action"] for call in wire.sent]


async def test_news_before_the_answer_is_found_once_that_is_there(
    home: tuple[Installation, Wire], carrier: Carrier
) -> None:
    here, _ = home
    carrier.let_go.clear()
    template_id = await stored(here)
    async with asyncio.timeout(PATIENCE):
        await carrier.called.wait()
    # by each of the carrier's ids alone, so under two records that nobody knows to be one
    await here.hook(postback("N003", **{"tracking-id": TRACKING_ID}))
    await here.hook(postback("N003", **{"mms-id": MMS_ID}))
    before = (await here.api.get(f"/v1/templates/{template_id}")).json()
    carrier.let_go.set()

    await until(here, template_id, "ready")
    assert "pending" == before["state"]
    assert [template_id] == [one["id"] for one in (await here.api.get("/v1/templates")).json()["data"]]


async def test_news_of_one_unknown_call_is_of_one_template_however_often_it_comes(
    home: tuple[Installation, Wire],
) -> None:
    here, _ = home
    for code in ("N003", "N003", "E003"):
        await here.hook(postback(code, **{"tracking-id": "MMSMT9999"}))
    await here.hook(postback("N003", **{"tracking-id": "MMSMT9999", "mms-id": "9"}))

    assert ["failed"] == [one["state"] for one in (await here.api.get("/v1/templates")).json()["data"]]


@pytest.mark.parametrize(
    ("template", "send", "fallback"),
    [
        ({"fallback_text": "Spring"}, {}, "Spring"),
        ({"fallback_text": "Spring"}, {"fallback_text": "Yours"}, "Yours"),
        ({}, {"fallback_text": "Yours"}, "Yours"),
        ({}, {}, None),
    ],
)
async def test_the_fallback_text_of_a_template_stands_unless_the_send_has_one(
    home: tuple[Installation, Wire], template: dict[str, Any], send: dict[str, Any], fallback: str | None
) -> None:
    here, wire = home
    sent = await here.send(text=None, template_id=await stored(here, **template), **send)
    await here.until(sent["id"], "queued")

    call = wire.sent[-1].json
    assert "sendsavedmms" == call["action"]
    assert (fallback, fallback is None) == (call.get("fallback-sms-text"), call["disable-fallback-sms"])
