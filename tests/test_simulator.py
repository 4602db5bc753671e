"""The practice carriers: real callbacks over real sockets, every fault as it was ordered."""

import asyncio
import re
import signal
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from simulator import callbacks
from simulator.app import Account, create, serve
from simulator.faults import MAGIC, Faults, Order
from simulator.journal import Journal
from simulator.sinch_mms import REPORTS
from tests.support.carrier import CONTROL, PRACTICE_KEY, running, running_receiver, running_simulator
from tests.support.mms_customer import KEY, Customer, a_customer, a_desk, sendmms

ACCEPTED = "MMS request accepted and queued for processing and delivery."
DOCUMENT = Path(__file__).parent.parent / "docs" / "simulator.md"


@pytest.fixture
async def customer() -> AsyncIterator[Customer]:
    async with a_customer() as made:
        yield made


@pytest.fixture
async def desk() -> AsyncIterator[httpx.AsyncClient]:
    async with a_desk() as made:
        yield made


async def test_a_send_is_answered_and_reported_as_documented(customer: Customer) -> None:
    answer = await customer.send()
    tracking_id = answer.pop("tracking-id")
    assert {"status": "success", "to": "12065550123", "status-details": ACCEPTED} == answer
    reports = await customer.receiver.first(2)
    times = [report.pop("timestamp") for report in reports]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", time) for time in times)
    same = {
        "origin": "MMS_MT",
        "sent-as": "MMS",
        "to": "12065550123",
        "from": "18885551234",
        "tracking-id": tracking_id,
        "client-reference": "ord-7f3c1a",
    }
    assert [
        {**same, "code": "N101", "status": "Sent", "status-details": "Message Sent"},
        {**same, "code": "N102", "status": "Delivered", "status-details": "Message Delivered"},
    ] == reports


async def test_a_send_without_client_reference_is_reported_without_one(customer: Customer) -> None:
    await customer.send(client_reference=...)
    assert ["client-reference" in report for report in await customer.receiver.first(2)] == [False, False]


async def test_every_report_that_can_be_ordered_comes_in_the_carriers_words(customer: Customer) -> None:
    sent, delivered = ("N101", "MMS", "Sent"), ("N102", "MMS", "Delivered")
    expected: dict[str, list[Any]] = {
        "delivered": [sent, delivered],
        "lost": [sent],
        "unknown": [sent, ("N777", "MMS", "Teleported")],
        "expired": [sent, ("N103", "MMS", "Expired")],
        "failed": [("E101", None, "Failed")],
        "rejected": [sent, ("E102", "MMS", "Rejected")],
        "rejected_then_sms": [sent, ("E102", "MMS", "Rejected"), ("N202", "SMS", "Delivered")],
        "delivered_as_sms": [sent, ("N102", "SMS", "Delivered")],
        "fallback_delivered": [sent, ("N202", "SMS", "Delivered")],
        "fallback_failed": [sent, ("E202", "SMS", "Failed")],
        "delivered_but_expired": [sent, ("N102", "MMS", "Message Sent/Expired")],
        "transcoded": [sent, ("N013", "MMS", "Sent"), delivered],
        "image_failed": [("E011", None, "Rejected")],
        "audio_failed": [("E012", None, "Rejected")],
        "video_failed": [("E013", None, "Rejected")],
        "queue_error": [("E999", None, "Failed")],
    }
    for number, report in enumerate(expected):
        await customer.order(report=report, to=f"120655502{number:02}")
        await customer.send(to=f"120655502{number:02}", client_reference=report)
    bodies = await customer.receiver.first(sum(len(reports) for reports in expected.values()))
    came: dict[str, list[Any]] = {report: [] for report in REPORTS}
    for body in bodies:
        came[body["client-reference"]].append((body["code"], body.get("sent-as"), body["status"]))
    assert expected == came


@pytest.mark.parametrize(
    ("faults", "codes"),
    [
        ({"duplicate": 3}, ["N101"] * 3 + ["N102"] * 3),
        ({"reordered": True}, ["N102", "N101"]),
        ({"reordered": True, "duplicate": 2}, ["N102"] * 2 + ["N101"] * 2),
        ({"report": "rejected_then_sms", "reordered": True}, ["N202", "E102", "N101"]),
    ],
)
async def test_reports_come_as_often_and_in_the_order_that_was_asked_for(
    customer: Customer, faults: dict[str, Any], codes: list[str]
) -> None:
    await customer.order(**faults)
    await customer.send()
    assert codes == await customer.codes(len(codes))
    bodies = customer.receiver.bodies
    assert len({(body["code"], body["timestamp"]) for body in bodies}) == len(set(codes))


async def test_early_reports_are_there_before_the_answer(customer: Customer) -> None:
    await customer.order(early=True)
    await customer.send()
    assert ["N101", "N102"] == [body["code"] for body in customer.receiver.bodies]


async def test_a_late_report_is_held_back(customer: Customer) -> None:
    await customer.order(late=0.4)
    await customer.send()
    await asyncio.sleep(0.2)
    assert ["N101"] == [body["code"] for body in customer.receiver.bodies]
    assert ["N101", "N102"] == await customer.codes(2)


async def test_a_lost_report_never_comes_and_the_next_message_has_its_own(customer: Customer) -> None:
    await customer.order(report="lost", next=1)
    lost, other = await customer.send(), await customer.send()
    await customer.receiver.first(3)
    await asyncio.sleep(0.1)
    seen = sorted(
        (body["tracking-id"] == lost["tracking-id"], body["code"]) for body in customer.receiver.bodies
    )
    assert [(False, "N101"), (False, "N102"), (True, "N101")] == seen
    assert other["tracking-id"] != lost["tracking-id"]


async def test_a_slow_answer_comes_after_its_reports(customer: Customer) -> None:
    await customer.order(slow=0.3)
    begun = asyncio.get_running_loop().time()
    answer = await customer.send()
    assert asyncio.get_running_loop().time() - begun >= 0.3
    assert [answer["tracking-id"]] * 2 == [body["tracking-id"] for body in customer.receiver.bodies]


async def test_a_closed_connection_gives_no_byte_and_the_reports_still_come(customer: Customer) -> None:
    await customer.order(answer="closed", next=1)
    url = httpx.URL(str(customer.http.base_url))
    reader, writer = await asyncio.open_connection(url.host, url.port)
    body = httpx.Request("POST", "http://x", json=sendmms()).content
    writer.write(
        b"POST /ep/v2/ HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        b"x-api-key: %b\r\ncontent-length: %d\r\n\r\n%b" % (KEY.encode(), len(body), body)
    )
    assert b"" == await asyncio.wait_for(reader.read(), 2)
    writer.close()
    await writer.wait_closed()
    assert ["N101", "N102"] == await customer.codes(2)
    assert [None] == [entry["answer"] for entry in await customer.journal("request")]


async def test_a_client_sees_a_closed_connection_as_a_lost_answer(customer: Customer) -> None:
    await customer.order(answer="closed")
    with pytest.raises(httpx.RemoteProtocolError, match="disconnected without sending a response"):
        await customer.post(sendmms())


async def test_a_refused_send_has_no_reports_unless_it_was_taken(customer: Customer) -> None:
    answers = [
        ("refused", 200, "E114"),
        ("throttled", 200, "E113"),
        ("E106", 200, "E106"),
        (500, 500, None),
        (502, 502, None),
        (503, 503, None),
    ]
    for answer, status, code in answers:
        await customer.order(answer=answer, next=1)
        refused = await customer.post(sendmms(client_reference="refused"))
        assert status == refused.status_code
        if code:
            assert {"status", "error-code", "error-info"} == refused.json().keys()
            assert ("failure", code) == (refused.json()["status"], refused.json()["error-code"])
        await customer.order(answer=answer, accepted=True, next=1)
        assert status == (await customer.post(sendmms(client_reference="taken"))).status_code
    await customer.receiver.first(2 * len(answers))
    references = [body["client-reference"] for body in customer.receiver.bodies]
    assert ["taken"] * 2 * len(answers) == references


async def test_reports_are_written_as_ordered(customer: Customer) -> None:
    await customer.order(reference=False, trackingid=True, timestamp="none")
    answer = await customer.send()
    for report in await customer.receiver.first(2):
        assert answer["tracking-id"] == report["trackingid"]
        assert not {"tracking-id", "client-reference", "timestamp"} & report.keys()


async def test_every_style_of_timestamp_tells_the_same_time(customer: Customer) -> None:
    styles = {
        "utc": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ",
        "offset": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d-05:00",
        "fraction": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00",
    }
    for style in styles:
        await customer.order(timestamp=style)
        await customer.send(client_reference=style)
    for report in await customer.receiver.first(6):
        assert re.fullmatch(styles[report["client-reference"]], report["timestamp"])
        assert abs(datetime.fromisoformat(report["timestamp"]) - datetime.now(UTC)) < timedelta(seconds=10)


async def test_magic_numbers_need_no_order_and_orders_go_over_them(customer: Customer) -> None:
    await customer.send(to="15005550116")
    assert ["E101"] == await customer.codes(1)
    await customer.order(duplicate=2)
    await customer.send(to="15005550116")
    assert ["E101"] * 3 == await customer.codes(3)


async def test_orders_hold_for_their_account_their_numbers_and_their_count(customer: Customer) -> None:
    other = {"provider": "sinch_mms", "api_key": "other", "callback_url": None, "name": "other"}
    assert 201 == (await customer.http.post("/practice/accounts", json=other)).status_code
    await customer.order(answer="refused", account="sinch_mms", to=["+1 206 555 0123"], next=2)
    answers = [
        (await customer.http.post("/ep/v2", json=sendmms(), headers={"x-api-key": "other"})).json(),
        await customer.send(to="12065550124"),
        await customer.send(),
        await customer.send(),
        await customer.send(),
    ]
    assert ["success", "success", "failure", "failure", "success"] == [answer["status"] for answer in answers]
    assert {"data": []} == (await customer.http.get("/practice/faults")).json()


async def test_clearing_ends_every_order(customer: Customer) -> None:
    order = await customer.order(answer="refused", to="12065550123")
    assert {"data": [order]} == (await customer.http.get("/practice/faults")).json()
    assert 204 == (await customer.http.delete("/practice/faults")).status_code
    assert "success" == (await customer.send())["status"]


async def test_a_callback_is_tried_again_until_the_answer_is_200_and_holds_up_nothing(
    customer: Customer,
) -> None:
    customer.receiver.statuses = [503, 200, 202]
    await customer.send()
    assert ["N101", "N102", "N101", "N101"] == await customer.codes(4)
    await asyncio.sleep(0.05)
    tries = [
        [attempt["status"] for attempt in entry["tries"]] for entry in await customer.journal("callback")
    ]
    assert [[503, 202, 200], [200]] == tries


async def test_a_callback_is_given_up_after_five_more_tries() -> None:
    async with running_receiver() as receiver:
        receiver.statuses = [500] * 20
        account = Account(api_key=KEY, callback_url=receiver.url)
        async with (
            running_simulator([account], pace=0.0001) as base_url,
            httpx.AsyncClient(base_url=base_url, headers=CONTROL) as client,
        ):
            customer = Customer(client, receiver)
            await customer.order(report="lost")
            await customer.send()
            await receiver.first(6)
            await asyncio.sleep(0.2)
            [callback] = await customer.journal("callback")
    assert [500] * 6 == [attempt["status"] for attempt in callback["tries"]]


async def test_a_receiver_that_is_down_is_noted_with_the_error(customer: Customer) -> None:
    down = {"provider": "sinch_mms", "api_key": "down", "callback_url": "http://127.0.0.1:9/", "name": "down"}
    await customer.http.post("/practice/accounts", json=down)
    [entry] = (await customer.http.post("/practice/postback?account=down", json={})).json()["data"]
    assert (None, "ConnectError") == (
        entry["tries"][0]["status"],
        entry["tries"][0]["error"].partition(":")[0],
    )


async def test_the_journal_shows_requests_without_keys_and_pages(customer: Customer) -> None:
    answer = await customer.send()
    await customer.receiver.first(2)
    page = await customer.http.get("/practice/journal", params={"limit": 1})
    [request] = page.json()["data"]
    assert KEY not in page.text
    assert (1, "request", "sinch_mms") == (request["seq"], request["kind"], request["account"])
    assert sendmms() == request["body"]
    assert {"status": 200, "body": answer} == request["answer"]
    rest = await customer.http.get("/practice/journal", params={"after": 1})
    assert [(2, "N101"), (3, "N102")] == [
        (entry["seq"], entry["body"]["code"]) for entry in rest.json()["data"]
    ]


async def test_any_body_can_be_posted_as_it_is(customer: Customer) -> None:
    headers = {"content-type": "application/json"}
    bodies = [("", b'{"code":"N999", "code":1}'), ("?repeat=2&content_type=text/plain", b"not JSON")]
    for query, body in bodies:
        response = await customer.http.post(f"/practice/postback{query}", content=body, headers=headers)
    types = [headers["content-type"] for headers in customer.receiver.headers]
    assert ["application/json; charset=utf-8", "text/plain", "text/plain"] == types
    assert [{"code": 1}, b"not JSON", b"not JSON"] == customer.receiver.bodies
    assert ["not JSON", "not JSON"] == [entry["body"] for entry in response.json()["data"]]


@pytest.mark.parametrize(
    ("path", "body", "pointer", "detail"),
    [
        ("faults", {"lat": 3}, "/lat", 'there is no such field; the nearest is "late"'),
        ("faults", {"early": "yes"}, "/early", "Input should be a valid boolean"),
        ("faults", {"early": True, "late": 1}, "/late", "a report cannot be early and late"),
        ("faults", {"duplicate": 0}, "/duplicate", "Input should be greater than or equal to 1"),
        ("faults", {"to": ["nobody"]}, "/to", "must be a phone number or a list of phone numbers"),
        ("faults", {"account": "x"}, "/account", "name one of the accounts: sinch_mms"),
        ("faults", {"report": "x"}, "/report", f"must be one of: {', '.join(sorted(REPORTS))}"),
        ("accounts", {"api_key": "k"}, "/callback_url", "Field required"),
        (
            "accounts",
            {"api_key": "k", "callback_url": "ftp://x"},
            "/callback_url",
            "must be an http or https URL, or null for no callbacks",
        ),
        (
            "accounts",
            {"provider": "pigeon", "api_key": "k", "callback_url": None},
            "/provider",
            "must be one of: sinch_mms, sinch_sms, swift, cellcast, cellcast_v1, voicetel",
        ),
        (
            "accounts",
            {"api_key": "k", "callback_url": None, "name": "sinch_mms"},
            "/name",
            'another account is called "sinch_mms"',
        ),
        ("inbound", {"from": "1"}, "/to", "Field required"),
    ],
)
async def test_a_mistaken_order_is_refused_and_names_the_field(
    desk: httpx.AsyncClient, path: str, body: dict[str, Any], pointer: str, detail: str
) -> None:
    response = await desk.post(f"/practice/{path}", json=body)
    assert (422, "application/problem+json") == (response.status_code, response.headers["content-type"])
    assert [{"pointer": pointer, "detail": detail}] == response.json()["errors"]


async def test_accounts_can_be_added_to_an_empty_server_and_are_shown_without_keys() -> None:
    async with (
        running_receiver() as receiver,
        running_simulator([]) as base_url,
        httpx.AsyncClient(base_url=base_url, headers=CONTROL) as client,
    ):
        customer = Customer(client, receiver)
        assert "E104" == (await customer.send())["error-code"]
        account = {"provider": "sinch_mms", "api_key": KEY, "callback_url": receiver.url}
        added = await client.post("/practice/accounts", json=account)
        assert (201, "sinch_mms") == (added.status_code, added.json()["name"])
        assert KEY not in (await client.get("/practice/accounts")).text
        await customer.send()
        assert ["N101", "N102"] == await customer.codes(2)


async def test_a_known_key_is_given_another_callback_url(customer: Customer) -> None:
    account = {"provider": "sinch_mms", "api_key": KEY, "callback_url": None}
    await customer.http.post("/practice/accounts", json=account)
    accounts = (await customer.http.get("/practice/accounts")).json()["data"]
    assert [("sinch_mms", None)] == [(shown["name"], shown["callback_url"]) for shown in accounts]


async def test_many_sends_at_once_all_get_their_reports(customer: Customer) -> None:
    answers = await asyncio.gather(*(customer.send(client_reference=str(number)) for number in range(100)))
    bodies = await customer.receiver.first(200)
    reported = {(body["tracking-id"], body["code"]) for body in bodies}
    assert {(answer["tracking-id"], code) for answer in answers for code in ("N101", "N102")} == reported


async def test_a_carrier_with_too_much_to_report_throttles(
    customer: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callbacks, "MAX_WAITING", 2)
    await customer.order(late=60)
    answers = [await customer.send() for _ in range(3)]
    assert [None, None, "E113"] == [answer.get("error-code") for answer in answers]


def test_the_journal_keeps_the_newest_entries_and_the_beginning_of_a_long_body() -> None:
    journal = Journal()
    for number in range(10_002):
        journal.add("request", b"%d" % number)
    journal.add("callback", b"[" + b"0," * 5000)
    page = journal.page()
    assert (10_000, 4, 10_003) == (len(page), page[0]["seq"], page[-1]["seq"])
    assert ("[" + "0," * 5000)[:8192] == page[-1]["body"]
    assert [10_002] == [entry["seq"] for entry in journal.page(after=10_001, kind="request")]


async def test_an_address_in_use_is_an_error_of_the_caller() -> None:
    async with running_simulator([]) as base_url:
        with pytest.raises(OSError, match="in use"):
            await serve([], "127.0.0.1", httpx.URL(base_url).port or 0, key=PRACTICE_KEY)


async def test_stopping_leaves_no_task_behind() -> None:
    """Neither the retries of a callback, nor a report held back, nor a slow answer outlive the server."""
    before = asyncio.all_tasks()
    async with running_receiver() as receiver:
        app = create([Account(api_key=KEY, callback_url=receiver.url)], key=PRACTICE_KEY)
        receiver.statuses = [500]
        async with running(app) as base_url, httpx.AsyncClient(base_url=base_url, headers=CONTROL) as client:
            customer = Customer(client, receiver)
            await customer.order(late=60)
            await customer.send()
            await receiver.first(1)
    assert before == asyncio.all_tasks()


async def test_sigterm_ends_the_server_at_once_and_without_a_word() -> None:
    """Open requests are answered, callbacks are given up, and ``serve`` returns to its caller."""
    script = (
        "import asyncio; from simulator.app import Account, serve; "
        "accounts = [Account(api_key='k', callback_url='http://127.0.0.1:9/')]; "
        "ready = lambda url: print(url, flush=True); "
        f"asyncio.run(serve(accounts, '127.0.0.1', 0, key='{PRACTICE_KEY}', ready=ready)); "
        "print('returned')"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-W",
        "error",  # what a server leaves open speaks up here; asyncio's own debug mode would also time us
        "-c",
        script,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout
    base_url = (await process.stdout.readline()).decode().strip()
    async with httpx.AsyncClient(base_url=base_url, headers=CONTROL) as client:
        await client.post("/practice/faults", json={"slow": 60})
        headers = {"x-api-key": "k"}
        slow = asyncio.create_task(client.post("/ep/v2/", json=sendmms(), headers=headers, timeout=10))
        for _ in range(200):
            if (await client.get("/practice/journal?kind=callback")).json()["data"]:
                break
            await asyncio.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        assert "success" == (await slow).json()["status"]
    out, errors = await asyncio.wait_for(process.communicate(), 5)
    assert (b"returned\n", b"", 0) == (out, errors, process.returncode)


def test_the_documentation_lists_every_fault_report_and_magic_number() -> None:
    document = DOCUMENT.read_text(encoding="utf-8")
    rows = set(re.findall(r"^\| `([^`]+)` \|", document, re.MULTILINE))
    numbers = {f"+1 500 555 {number[-4:]}" for number in MAGIC}
    assert Faults.model_fields.keys() | Order.model_fields.keys() | REPORTS.keys() | numbers <= rows


def test_every_magic_number_orders_a_known_report() -> None:
    assert {faults.report for faults in MAGIC.values()} <= REPORTS.keys()
