"""One contract for all carriers, through a whole installation: API, sender, practice carrier, receiver.

An installation is made once per carrier and serves all tests; each of them writes to a number of its own.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import pytest_asyncio

from simulator.files import PIXEL
from tests.support.beds import Bed
from tests.support.installation import US, Installation, installation
from tests.support.receiver import copied

OUR_MOBILE = "+61491570006"

#: one pixel


pytestmark = pytest.mark.asyncio(loop_scope="module")
_numbers = itertools.count(100)


@dataclass(frozen=True)
class Case:
    """What differs between the carriers, seen from our API."""

    provider: str
    us: str = US
    #: all but the last three digits of the numbers that we write to
    them: str = "+12065550"
    channel: dict[str, Any] = field(default_factory=dict)
    #: the report that comes in two parts, so that their order can be wrong
    several: str = "sent_then_delivered"
    #: what a refused send ends as
    refused: str = "rejected"
    #: the status before the report whose word nobody knows
    before_unknown: str = "queued"
    #: by what a report that follows the answer finds its message
    correlation: str = "provider_id"
    #: whether the text of an inbound message stands in the callback, or is a file of its own
    inline_text: bool = True
    #: whether one message can have both a text and a picture
    text_beside_picture: bool = True
    #: the media types of an inbound picture, with its text where that is a file; none where it is a link
    picture: tuple[str, ...] = ("image/png",)

    @property
    def id(self) -> str:
        return f"{self.provider}{self.channel.get('api', '')}"


CASES = [
    Case(
        "sinch_mms",
        several="delivered",
        before_unknown="sent",
        correlation="own_id",
        inline_text=False,
        picture=("image/png", "text/plain"),
    ),
    Case("sinch_sms", several="delivered", correlation="own_id"),
    Case("swift", text_beside_picture=False),
    Case("cellcast", OUR_MOBILE, "+61491570", several="delivered", correlation="own_id"),
    Case("cellcast_v1", OUR_MOBILE, "+61491570", picture=()),
    Case("voicetel", channel={"expects_reports": True}, correlation="guessed"),
    Case("voicetel", channel={"expects_reports": True, "api": "2.2"}),
]


class Customer:
    """Writes to one number."""

    def __init__(self, case: Case, home: Installation) -> None:
        self.case, self.home = case, home
        self.number = f"{case.them}{next(_numbers)}"

    async def send(self, **faults: Any) -> str:
        """The id of a message to our number, with *faults* ordered for it."""
        if faults:
            await self.home.order(to=self.number, **faults)
        return str((await self.home.send(self.number))["id"])

    async def calls(self) -> int:
        """How often the carrier was called for our number."""
        # national digits: every carrier writes the rest in its own way
        return sum(self.number[-9:] in str(entry["body"]) for entry in await self.home.journal())

    async def messages(self, direction: str) -> list[dict[str, Any]]:
        query = {"direction": direction, "contact": self.number}
        listed: list[dict[str, Any]] = (await self.home.api.get("/v1/messages", params=query)).json()["data"]
        return listed


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=CASES, ids=lambda case: case.id)
async def installed(
    request: pytest.FixtureRequest, bed: Bed, template_url: str
) -> AsyncIterator[tuple[Case, Installation]]:
    case: Case = request.param
    database = f"every_carrier_{CASES.index(case)}"
    url = await copied(bed, template_url, database)
    region = "AU" if case.us == OUR_MOBILE else "US"
    keys = {"from": [case.us], "default_region": region, **case.channel}
    async with installation(url, case.provider, **keys) as home:
        yield case, home
    await bed.drop(database)


@pytest_asyncio.fixture(loop_scope="module")
async def customer(installed: tuple[Case, Installation]) -> Customer:
    return Customer(*installed)


async def test_a_send_is_delivered(customer: Customer) -> None:
    # late, because a report before the answer is guessed where most answers bring no id
    message = await customer.home.until(await customer.send(late=0.3), "delivered")

    assert ("success", None, "Hello") == (message["outcome"], message["error"], message["text"])
    assert (customer.case.us, customer.number) == (message["from"], message["to"])
    assert customer.case.correlation == message["correlation"]
    assert 1 == await customer.calls()


async def test_a_refused_send_ends_with_an_error_and_is_not_tried_again(customer: Customer) -> None:
    message = await customer.home.until(await customer.send(answer="refused"), "rejected")

    assert "failure" == message["outcome"]
    assert message["error"]["code"] or message["error"]["message"]
    assert 1 == await customer.calls()


async def test_a_throttled_send_is_tried_again_and_one_without_an_answer_never(customer: Customer) -> None:
    cut_off = Customer(customer.case, customer.home)
    uncertain = await cut_off.send(answer="closed", accepted=False)
    await customer.home.until(uncertain, "uncertain")

    message = await customer.home.until(await customer.send(answer="throttled", next=1), "delivered")

    assert (None, 2) == (message["error"], await customer.calls())
    assert "unknown" == (await customer.home.message(uncertain))["outcome"]
    assert 1 == await cut_off.calls()


async def test_a_report_settles_a_send_whose_answer_was_lost(customer: Customer) -> None:
    message = await customer.home.until(await customer.send(answer="closed", late=0.3), "delivered")

    assert ("success", False) == (message["outcome"], message["conflict"])
    assert 1 == await customer.calls()


async def test_reports_before_the_answer_find_their_message(customer: Customer) -> None:
    message = await customer.home.until(await customer.send(early=True, slow=0.2), "delivered")

    await asyncio.sleep(0.3)  # the answer is there too
    assert [message["id"]] == [sent["id"] for sent in await customer.messages("outbound")]
    assert "delivered" == (await customer.home.message(message["id"]))["status"]


async def test_reports_twice_and_in_the_wrong_order_count_once(customer: Customer) -> None:
    sent = await customer.send(duplicate=3, reordered=True, report=customer.case.several)
    await customer.home.until(sent, "delivered")
    await asyncio.sleep(0.2)

    message = await customer.home.message(sent)
    assert ("delivered", False) == (message["status"], message["conflict"])
    reports = [event["status"] for event in message["timeline"] if event["source"] == "report"]
    assert sorted(set(reports)) == sorted(reports)
    assert 1 == len(await customer.messages("outbound"))


@pytest.mark.parametrize("status", ["expired", "failed", "rejected"])
async def test_a_report_of_a_failure_is_the_messages_end(customer: Customer, status: str) -> None:
    message = await customer.home.until(await customer.send(report=status), status, "undelivered")

    assert "failure" == message["outcome"]
    assert message["error"]["class"]


async def test_a_word_that_nobody_knows_is_kept_and_changes_no_status(customer: Customer) -> None:
    sent = await customer.send(report="unknown")

    unmapped = await customer.home.event(sent, "message.unmapped")
    message = await customer.home.until(sent, customer.case.before_unknown)

    assert (None, "pending") == (unmapped["status"], message["outcome"])
    assert unmapped["provider_status"].lower()[:4] in ("tele", "n777")


async def test_an_inbound_message_joins_the_conversation_of_what_it_answers(customer: Customer) -> None:
    sent = await customer.home.until(await customer.send(), "delivered")

    reply = {"from": customer.number, "to": customer.case.us, "text": "Yes, please", "repeat": 2}
    answer = await customer.home.carrier.post("/practice/inbound", json=reply)

    tries = [attempt for entry in answer.json()["data"] for attempt in entry["tries"]]
    assert all(attempt["status"] in (200, 204) for attempt in tries), tries
    [inbound] = await customer.messages("inbound")
    assert (customer.number, customer.case.us) == (inbound["from"], inbound["to"])
    assert sent["conversation_id"] == inbound["conversation_id"]
    text, files = inbound["text"], [file["content_type"] for file in inbound["media"]]
    assert (("Yes, please", []) if customer.case.inline_text else (None, ["text/plain"])) == (text, files)


async def test_a_picture_from_our_store_is_delivered(customer: Customer) -> None:
    home = customer.home
    stored = await home.api.post("/v1/media", content=PIXEL, headers={"content-type": "image/png"})
    assert 201 == stored.status_code, stored.text

    text = "Map" if customer.case.text_beside_picture else None
    sent = await home.send(customer.number, text=text, media=[{"id": stored.json()["id"]}])
    message = await home.until(sent["id"], "delivered", "rejected", "failed")

    assert ("mms", "delivered", None) == (message["kind"], message["status"], message["error"])


async def test_of_several_recipients_each_has_its_own_end(customer: Customer) -> None:
    ends = ["delivered", "expired", "rejected"]
    others = [Customer(customer.case, customer.home) for _ in ends]
    for other, report in zip(others, ends, strict=True):
        await customer.home.order(to=other.number, report=report)

    body = {"to": [other.number for other in others], "text": "Hello"}
    answer = await customer.home.api.post("/v1/messages", json=body)

    ids = [message["id"] for message in answer.json()["data"]]
    assert ends == [(await customer.home.until(i, *ends))["status"] for i in ids]


async def test_an_inbound_picture_is_listed_or_linked(customer: Customer) -> None:
    picture = f"{customer.home.carrier.base_url}/practice/files/pixel.png".replace("//practice", "/practice")
    reply = {"from": customer.number, "to": customer.case.us, "text": "Look", "files": [picture]}
    await customer.home.carrier.post("/practice/inbound", json=reply)

    [inbound] = await customer.messages("inbound")

    assert customer.case.picture == tuple(file["content_type"] for file in inbound["media"])
    assert customer.case.picture or picture in inbound["text"]
