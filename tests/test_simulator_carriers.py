"""Every practice carrier under one suite: what it accepts, what it refuses, what it calls back with."""

import asyncio
import base64
import hashlib
import hmac
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from tests.support.carrier_cases import CASES, KEY, THEIR_MOBILE, THEM, US, Case
from tests.support.customer import case_of, customer_of, desk_of

every_carrier = pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)


@every_carrier
async def test_a_send_is_accepted_and_reported_in_the_carriers_words(case: Case) -> None:
    async with customer_of(case) as customer:
        for report, words in case.words.items():
            customer.receiver.bodies.clear()
            await customer.order(report=report)
            answer = await customer.send()
            assert (case.accepted, True) == (answer.status_code, case.took(answer))
            assert words == await customer.words(len(words))
        known = await customer.http.post("/practice/faults", json={"report": "x"})
        assert f"must be one of: {', '.join(sorted(case.words))}" == known.json()["detail"]


@every_carrier
async def test_a_wrong_key_is_refused_and_nothing_is_reported(case: Case) -> None:
    async with customer_of(case, api_key="another") as customer:
        answer = await customer.send()
        assert case.unauthorized == answer.status_code
        [entry] = (await customer.http.get("/practice/journal")).json()["data"]
        assert (case.provider, None) == (entry["provider"], entry["account"])
        assert KEY not in str(entry)


@every_carrier
async def test_what_is_ordered_to_go_wrong_with_the_answer_does(case: Case) -> None:
    async with customer_of(case) as customer:
        for answer, status in [("refused", case.refused), ("throttled", case.throttled), (503, 503)]:
            await customer.order(answer=answer, next=1)
            refused = await customer.send()
            assert status == refused.status_code
            assert status == 503 or not refused.text or not case.took(refused)
        await customer.order(answer="closed", next=1)
        with pytest.raises(httpx.RemoteProtocolError):
            await customer.send()
        await customer.order(slow=0.2, next=1)
        begun = time.monotonic()
        await customer.send()
        assert time.monotonic() - begun >= 0.2
        reports = 2 * case.words["delivered"]
        assert sorted(reports) == sorted(await customer.words(len(reports)))


@every_carrier
async def test_reports_come_early_twice_in_the_wrong_order_and_late(case: Case) -> None:
    several = next(report for report in ("sent_then_delivered", "delivered") if report in case.words)
    words = case.words[several]
    async with customer_of(case) as customer:
        await customer.order(report=several, early=True, next=1)
        await customer.send()
        assert words == [case.word(body) for body in customer.receiver.bodies]
        await customer.order(report=several, reordered=True, duplicate=2, next=1)
        await customer.send()
        twice = [word for word in reversed(words) for _ in range(2)]
        assert words + twice == await customer.words(3 * len(words))
        await customer.order(report=several, late=0.2, next=1)
        begun = time.monotonic()
        await customer.send()
        await customer.receiver.first(4 * len(words))
        assert time.monotonic() - begun >= 0.2


@pytest.mark.parametrize("case", [case for case in CASES if case.echoes], ids=lambda case: case.id)
async def test_the_client_reference_is_echoed_unless_ordered_otherwise(case: Case) -> None:
    async with customer_of(case) as customer:
        await customer.send()
        await customer.receiver.first(len(case.words["delivered"]))
        assert case.echoes in str(customer.receiver.bodies)
        assert "ord-7" in str(customer.receiver.bodies)
        customer.receiver.bodies.clear()
        await customer.order(reference=False)
        await customer.send()
        await customer.receiver.first(len(case.words["delivered"]))
        assert "ord-7" not in str(customer.receiver.bodies)


@every_carrier
async def test_callbacks_carry_the_credentials_of_the_account(case: Case) -> None:
    for account, expected in [
        ({"basic": "us:secret"}, f"Basic {base64.b64encode(b'us:secret').decode()}"),
        ({"bearer": "a-token-of-tests"}, "Bearer a-token-of-tests"),
    ]:
        async with customer_of(case, **account) as customer:
            await customer.send()
            await customer.receiver.first(1)
            assert expected == customer.receiver.headers[0]["authorization"]


async def test_sinch_signs_with_the_webhook_secret_and_the_batch_cannot_choose_the_url() -> None:
    async with customer_of(case_of("sinch_sms"), webhook_secret="secret") as customer:
        request = customer.case.request(THEM)["json"] | {"callback_url": "http://127.0.0.1:9/elsewhere"}
        await customer.http.post(customer.case.path, headers=customer.case.headers, json=request)
        await customer.receiver.first(3)
        headers, raw = customer.receiver.headers[0], customer.receiver.raw[0]
        nonce, at = (headers[f"x-sinch-webhook-signature-{name}"] for name in ("nonce", "timestamp"))
        signed = hmac.digest(b"secret", raw + f".{nonce}.{at}".encode(), hashlib.sha256)
        assert base64.b64encode(signed).decode() == headers["x-sinch-webhook-signature"]
        assert abs(int(at) - time.time()) < 10


async def test_sinch_takes_only_the_plan_of_the_account_and_wants_an_url_to_report_to() -> None:
    async with customer_of(case_of("sinch_sms"), service_plan_id="other") as customer:
        assert 401 == (await customer.send()).status_code
    async with customer_of(case_of("sinch_sms"), callback_url=None) as customer:
        answer = await customer.send()
        assert (403, "missing_callback_url") == (answer.status_code, answer.json()["code"])


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ("none", []),
        ("per_recipient_final", ["Delivered", "Failed"]),
        ("full", [[("Delivered", ["12065550123"]), ("Failed", ["12065550124"])]]),
        ("summary", [[("Delivered", None), ("Failed", None)]]),
    ],
)
async def test_a_sinch_batch_is_reported_as_its_delivery_report_asks(wanted: str, words: list[Any]) -> None:
    async with customer_of(case_of("sinch_sms")) as customer:
        await customer.order(report="failed", to="12065550124")
        batch = {"to": [THEM, "+1 206 555 0124"], "from": US, "body": "Hello", "delivery_report": wanted}
        answer = await customer.http.post(customer.case.path, headers=customer.case.headers, json=batch)
        assert [THEM, "12065550124"] == answer.json()["to"]
        bodies = await customer.receiver.first(len(words))
        await asyncio.sleep(0.1)
        said = [
            body["status"]
            if "status" in body
            else [(state["status"], state.get("recipients")) for state in body["statuses"]]
            for body in bodies
        ]
        assert words == sorted(said, key=str)
        assert {answer.json()["id"]} >= {body["batch_id"] for body in customer.receiver.bodies}


@pytest.mark.parametrize(
    ("provider", "request_to", "statuses"),
    [
        ("swift", lambda *to: {"to": [*to], "body": "Hello", "request_dlr": True}, (207, 422)),
        ("cellcast", lambda *to: {"numbers": [*to], "sms_text": "Hello"}, (200, 400)),
        ("cellcast_v1", lambda *to: {"contacts": [*to], "message": "Hello"}, (200, 200)),
    ],
)
async def test_one_recipient_of_several_can_be_refused(
    provider: str, request_to: Callable[..., dict[str, Any]], statuses: tuple[int, int]
) -> None:
    case = case_of(provider)
    async with customer_of(case) as customer:
        other = case.to[:-1] + "9"
        await customer.order(answer="refused", to=case.to)
        some = await customer.http.post(case.path, headers=case.headers, json=request_to(case.to, other))
        none = await customer.http.post(case.path, headers=case.headers, json=request_to(case.to))
        assert statuses == (some.status_code, none.status_code)
        assert case.words["delivered"] == await customer.words(1)
        await asyncio.sleep(0.1)
        assert 1 == len(customer.receiver.bodies)
        assert other in str(customer.receiver.bodies)
        assert case.to not in str(customer.receiver.bodies)


INBOUND = {"from": f"+{THEM}", "to": f"+{US}", "text": "Yes 👍"}
PICTURE = "https://media.example.com/a.png"


@pytest.mark.parametrize(
    ("provider", "account", "more", "expected"),
    [
        ("sinch_sms", {}, {}, {"type": "mo_text", "from": THEM, "to": US, "body": "Yes 👍"}),
        (
            "sinch_sms",
            {},
            {"files": [PICTURE], "subject": "Map"},
            {
                "type": "mo_media",
                "body": {
                    "subject": "Map",
                    "message": "Yes 👍",
                    "media": [{"url": PICTURE, "content_type": "image/png", "status": "Uploaded", "code": 0}],
                },
            },
        ),
        ("swift", {}, {}, {"type": "sms", "from": THEM, "to": US, "body": "Yes 👍"}),
        ("cellcast", {}, {}, {"type": "SMS", "from": f"+{THEM}", "body": "Yes 👍", "custom_string": ""}),
        (
            "cellcast_v1",
            {},
            {},
            {"type": "receive", "sender": f"+{THEM}", "receiver": f"+{US}", "message": "Yes 👍"},
        ),
        ("voicetel", {}, {}, {"from": THEM, "to": [US], "text": "Yes 👍", "deliveryReceipt": False}),
        (
            "voicetel",
            {"shape": "names", "api": "2.2"},
            {"files": [PICTURE]},
            {"type": "mms", "fromNumber": THEM[1:], "toNumber": US[1:], "mediaUrls": [PICTURE]},
        ),
    ],
)
async def test_an_inbound_message_comes_in_the_carriers_own_shape(
    provider: str, account: dict[str, Any], more: dict[str, Any], expected: dict[str, Any]
) -> None:
    async with customer_of(case_of(provider), **account) as customer:
        answer = await customer.http.post("/practice/inbound", json={**INBOUND, **more, "repeat": 2})
        assert 202 == answer.status_code, answer.text
        first, again = await customer.receiver.first(2)
        assert first == again
        assert expected == {name: first[name] for name in expected}


async def test_voicetels_own_names_come_as_a_form() -> None:
    async with customer_of(case_of("voicetel"), shape="names") as customer:
        await customer.http.post("/practice/inbound", json={**INBOUND, "text": "Yes please"})
        assert [b"source=2065550123&destination=2012548000&messageText=Yes+please"] == customer.receiver.raw
        assert "application/x-www-form-urlencoded" == customer.receiver.headers[0]["content-type"]


async def test_swifts_pictures_come_inside_the_callback() -> None:
    async with customer_of(case_of("swift")) as customer:
        picture = f"{customer.http.base_url}/practice/files/pixel.png"
        await customer.http.post("/practice/inbound", json={**INBOUND, "files": [picture], "smil": True})
        [body] = await customer.receiver.first(1)
        parts = [(part["headers"]["content-type"], part["encoding"]) for part in body["data"]["parts"]]
        assert [
            ("application/smil", "base64"),
            ("text/plain; charset=utf-8", "identity"),
            ("image/png", "base64"),
        ] == parts
        assert b"\x89PNG" == base64.b64decode(body["data"]["parts"][2]["body"])[:4]


async def test_cellcast_keeps_replies_in_pages_of_25_until_they_are_read() -> None:
    async with customer_of(case_of("cellcast"), callback_url=None) as customer:
        headers = customer.case.headers
        for number in range(30):
            await customer.http.post("/practice/inbound", json={**INBOUND, "text": str(number)})

        async def page(number: int, kind: str = "sms") -> Any:
            query = {"page": str(number), "type": kind}
            answer = await customer.http.get("/api/v3/get-responses", params=query, headers=headers)
            return answer.json()["data"]

        first, second, third = [await page(number) for number in (1, 2, 3)]
        assert ([25, 5], "") == ([len(data["responses"]) for data in (first, second)], third["responses"])
        assert ("30", 2) == (first["total"], first["page"]["count"])
        assert "" == (await page(1, "mms"))["responses"]
        ids = [reply["message_id"] for reply in first["responses"]]
        await customer.http.post("/api/v3/inbound-read-bulk", json={"message_id": ids}, headers=headers)
        assert ["25", "26", "27", "28", "29"] == [reply["body"] for reply in (await page(1))["responses"]]


@pytest.mark.parametrize(("report", "status"), [("lost", "Delivered"), ("silent", "Dispatched")])
async def test_cellcast_can_be_asked_what_became_of_an_sms(report: str, status: str) -> None:
    async with customer_of(case_of("cellcast")) as customer:
        await customer.order(report=report)
        [sent] = (await customer.send()).json()["data"]["messages"]

        async def ask(message_id: str) -> httpx.Response:
            query = {"message_id": message_id}
            return await customer.http.get("/api/v3/get-sms", params=query, headers=customer.case.headers)

        [told] = (await ask(sent["message_id"])).json()["data"]
        assert (sent["message_id"], f"+{THEIR_MOBILE}", status) == (
            told["message_id"],
            told["to"],
            told["status"],
        )
        nothing = await ask("another")
        assert (400, "NOT_FOUND") == (nothing.status_code, nothing.json()["meta"]["status"])


async def test_a_reply_to_cellcast_names_what_it_answers() -> None:
    async with customer_of(case_of("cellcast")) as customer:
        [sent] = (await customer.send()).json()["data"]["messages"]
        await customer.http.post("/practice/inbound", json={**INBOUND, "from": f"+{THEIR_MOBILE}"})
        reply = (await customer.receiver.first(2))[1]
        assert (sent["message_id"], "Hello", "ord-7") == (
            reply["original_message_id"],
            reply["original_body"],
            reply["custom_string"],
        )


async def test_cellcast_v1_can_be_asked_too() -> None:
    async with customer_of(case_of("cellcast_v1")) as customer:
        headers = customer.case.headers
        [queued] = (await customer.send()).json()["data"]["queueResponse"]
        path = f"/api/v2/report/message/{queued['MessageId']}"
        assert "delivered" == (await customer.http.get(path, headers=headers)).json()["data"]["status"]
        await customer.http.post("/practice/inbound", json={**INBOUND, "from": f"+{THEIR_MOBILE}"})
        answer = await customer.http.get("/api/v1/apiClient/getResponses", headers=headers)
        assert [(THEIR_MOBILE[2:], "Yes 👍")] == [
            (item["from"], item["body"]) for item in answer.json()["data"]["items"]
        ]


def _multipart(**fields: Any) -> dict[str, Any]:
    return {
        "files": {
            name: value if isinstance(value, tuple) else (None, value) for name, value in fields.items()
        }
    }


PNG = ("pic.png", b"\x89PNG", "image/png")


@pytest.mark.parametrize(
    ("provider", "path", "request_body"),
    [
        (
            "swift",
            "/v1/mms",
            {
                "json": {
                    "to": [THEM],
                    "media": [{"blob": "iVBO", "content_type": "image/png", "type": "BLOB"}],
                }
            },
        ),
        (
            "cellcast",
            "/api/v3/send-mms",
            _multipart(mms_text="Map", numbers=orjson.dumps([f"+{THEIR_MOBILE}"]).decode(), mms_file=PNG),
        ),
        ("cellcast_v1", "/api/v1/gatewaymms", _multipart(message="Map", contacts=THEIR_MOBILE, media=PNG)),
        (
            "voicetel",
            "/v2/mms/",
            _multipart(
                apikey=KEY,
                source=US[1:],
                destination=THEM[1:],
                messageText="Map",
                mmsURL=PICTURE,
                mmsSubject="Map",
            ),
        ),
        (
            "sinch_sms",
            "/xms/v1/plan/batches",
            {"json": {"to": [THEM], "from": US, "type": "mt_media", "body": {"url": PICTURE}}},
        ),
    ],
)
async def test_a_picture_is_taken_as_the_carriers_page_says(
    provider: str, path: str, request_body: dict[str, Any]
) -> None:
    case = case_of(provider)
    async with desk_of(case) as desk:
        answer = await desk.post(path, **request_body)
        assert (case.accepted, True) == (answer.status_code, case.took(answer)), answer.text


@pytest.mark.parametrize(
    ("provider", "change", "status", "code"),
    [
        ("sinch_sms", {"to": []}, 400, "syntax_constraint_violation"),
        ("sinch_sms", {"to": ["foo"]}, 400, "syntax_invalid_parameter_format"),
        ("sinch_sms", {"to": ["01W4FFL35P4NC4K35SMSGROUP8"]}, 403, "unknown_group"),
        ("sinch_sms", {"body": "x" * 2001}, 400, "syntax_constraint_violation"),
        ("sinch_sms", {"delivery_report": "always"}, 400, "syntax_constraint_violation"),
        ("sinch_sms", {"client_reference": "x" * 2049}, 400, "syntax_constraint_violation"),
        ("sinch_sms", {"expire_at": "2099-01-01T00:00:00Z"}, 400, "syntax_constraint_violation"),
        ("sinch_sms", {"type": "mt_binary", "body": "!"}, 400, "syntax_invalid_parameter_format"),
        ("sinch_sms", {"type": "mt_media", "body": {}}, 400, "syntax_constraint_violation"),
        ("swift", {"body": ""}, 422, "BAD_MESSAGE"),
        ("swift", {"body": "x" * 4097}, 422, "BAD_MESSAGE"),
        ("swift", {"from": "Example"}, 422, "HOST_DID_NOT_FOUND"),
        ("swift", {"to": ["123"]}, 422, "RECIPIENT_ERROR"),
        ("swift", {"expires_at": "2020-01-01T00:00:00Z"}, 422, "EXPIRED"),
        ("swift", {"media": [{"blob": "aGk=", "content_type": "image/png"}]}, 422, "BAD_MESSAGE"),
        ("cellcast", {"sms_text": ""}, 400, "FIELD_EMPTY"),
        ("cellcast", {"sms_text": "x" * 919}, 400, "FIELD_INVALID"),
        ("cellcast", {"sms_text": "щ" * 403}, 400, "FIELD_INVALID"),
        ("cellcast", {"numbers": [f"+{THEM}"]}, 400, "RECIPIENTS_ERROR"),
        ("cellcast", {"custom_string": "a_b"}, 400, "FIELD_INVALID"),
        ("cellcast", {"from": "a-sender-too-long"}, 400, "FIELD_INVALID"),
        ("cellcast", {"delay": 1441}, 400, "FIELD_INVALID"),
        ("cellcast", {"schedule_time": "tomorrow"}, 400, "FIELD_INVALID"),
        ("cellcast_v1", {"message": ""}, 200, "message is required"),
        ("cellcast_v1", {"contacts": ["123"]}, 200, "123 is not a valid number"),
        ("cellcast_v1", {"delay": 86_400_001}, 200, "delay must be at most 86400000"),
        ("voicetel", {"destination": THEM}, 400, "Field Required: destination"),
        ("voicetel", {"messageText": "x" * 161}, 400, "Field Required: messageText"),
    ],
)
async def test_what_a_page_forbids_is_refused(
    provider: str, change: dict[str, Any], status: int, code: str
) -> None:
    case = case_of(provider)
    [(kind, body)] = case.request(case.to).items()
    async with desk_of(case) as desk:
        request: dict[str, Any] = {kind: {**body, **change}}
        answer = await desk.post(case.path, **request)
        assert status == answer.status_code
        assert f'"{code}"' in answer.text


async def test_sinch_gives_a_report_up_after_a_4xx_but_not_after_a_5xx() -> None:
    async with customer_of(case_of("sinch_sms")) as customer:
        await customer.order(report="lost")
        customer.receiver.statuses = [404, 503, 200]
        await customer.send()
        assert ["Queued", "Dispatched", "Dispatched"] == await customer.words(3)
        await asyncio.sleep(0.1)
        assert 3 == len(customer.receiver.bodies)


async def test_a_word_that_a_magic_number_orders_and_a_carrier_has_not_is_an_ordinary_delivery() -> None:
    case = case_of("swift")
    async with customer_of(case) as customer:
        await customer.send("15005550118")
        assert ["delivered"] == await customer.words(1)


async def test_an_order_counts_a_batch_once() -> None:
    case = case_of("swift")
    async with customer_of(case) as customer:
        await customer.order(report="failed", next=1)
        batch = {"to": [THEM, "12065550124"], "body": "Hello", "request_dlr": True}
        await customer.http.post(case.path, headers=case.headers, json=batch)
        assert ["failed", "failed"] == await customer.words(2)
        assert {"data": []} == (await customer.http.get("/practice/faults")).json()


async def test_an_error_code_that_the_carrier_has_not_is_refused_as_an_order() -> None:
    async with customer_of(case_of("cellcast")) as customer:
        answer = await customer.http.post("/practice/faults", json={"answer": "E114"})
        assert (422, "/answer") == (answer.status_code, answer.json()["errors"][0]["pointer"])
        await customer.order(answer="FIELD_INVALID")
        assert "FIELD_INVALID" == (await customer.send()).json()["meta"]["status"]


def test_the_documentation_lists_every_word_that_can_be_ordered() -> None:
    document = (Path(__file__).parent.parent / "docs" / "simulator.md").read_text(encoding="utf-8")
    sections = re.split(r"^(?=[A-Z].*:$)", document, flags=re.MULTILINE)
    for title, case in zip(
        ["Sinch SMS", "Swift", "Cellcast,", "Cellcast v1", "VoiceTel"], CASES, strict=False
    ):
        [section] = [text for text in sections if text.startswith(title) and "| `report` |" in text]
        assert case.words.keys() <= set(re.findall("`([a-z_0-9]+)`", section))
