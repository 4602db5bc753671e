"""The Sinch SMS REST API from its server side: ``POST /xms/v1/{plan}/batches`` and its callbacks.

Written from the carrier's pages (https://developers.sinch.com/docs/sms/api-reference/sms/tag/: Batches,
Webhooks, Delivery-reports, Inbounds) and the fixtures of its SDKs, not from any client of ours.
"""

import mimetypes
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, NamedTuple

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from simulator import sinch_sms_rules as rules
from simulator.accounts import Account
from simulator.callbacks import Callback, Retries, arranged, moments
from simulator.faults import Faults
from simulator.ids import ulid
from simulator.practice import Acceptance, Answer, Inbound, Practice, answered, bearer, body_of
from simulator.sinch_sms_rules import Fields, Refused

#: 5xx and 429 are tried again after 5 s, 10 s, 20 s, ... until 22 h 45 min have passed; any other 4xx ends it
RETRIES = Retries(
    tuple(5.0 * 2**place for place in range(14)), final=range(300, 500), tried_again=frozenset({429})
)


class State(NamedTuple):
    status: str
    code: int


QUEUED, DISPATCHED, DELIVERED = State("Queued", 400), State("Dispatched", 401), State("Delivered", 0)

#: the word in an order -> the states that one recipient's message goes through
REPORTS = {
    "delivered": [QUEUED, DISPATCHED, DELIVERED],
    "lost": [QUEUED, DISPATCHED],
    "unknown": [QUEUED, State("Teleported", 777)],
    "expired": [QUEUED, DISPATCHED, State("Expired", 159)],
    "failed": [QUEUED, DISPATCHED, State("Failed", 150)],
    "rejected": [QUEUED, State("Rejected", 408)],
    # "Dispatched" is left out when a final state overtakes it
    "undispatched": [QUEUED, DELIVERED],
    # the carrier's own expiry is no "Expired"
    "aborted": [QUEUED, State("Aborted", 406)],
    "cancelled": [QUEUED, State("Cancelled", 407)],
    "deleted": [QUEUED, DISPATCHED, State("Deleted", 34)],
    # it reached a message centre that never gave a usable receipt
    "no_receipt": [QUEUED, DISPATCHED, State("Unknown", 0)],
    # code 0 does not prove a delivery: the status decides
    "failed_with_code_0": [QUEUED, DISPATCHED, State("Failed", 0)],
}
INTERMEDIATE = frozenset({"Queued", "Dispatched"})


class SinchSms:
    name: ClassVar[str] = "sinch_sms"
    reports: ClassVar[frozenset[str]] = frozenset(REPORTS)
    codes: ClassVar[str] = "[a-z]+(_[a-z]+)+"
    retries: ClassVar[Retries] = RETRIES
    polled: ClassVar[bool] = False

    def __init__(self, practice: Practice) -> None:
        self._practice = practice

    def routes(self) -> list[Route]:
        return [Route("/xms/v1/{plan}/batches", self._receive, methods=["POST"])]

    def inbound(self, inbound: Inbound, account: Account, base_url: str) -> Callback:
        """mo_media with files or a subject, mo_text without."""
        body: dict[str, Any] = {
            "id": ulid(),
            "from": inbound.sender.removeprefix("+"),
            "to": inbound.recipient.removeprefix("+"),
            "operator_id": "311071",
            "received_at": _timestamp(datetime.now(UTC)),
        }
        if not inbound.files and inbound.subject is None:
            return Callback(orjson.dumps(body | {"type": "mo_text", "body": inbound.text or ""}))
        content: dict[str, Any] = {
            "media": [
                {"url": url, "content_type": _type_of(url), "status": "Uploaded", "code": 0}
                for url in inbound.files
            ]
        }
        if inbound.subject is not None:
            content["subject"] = inbound.subject
        if inbound.text is not None:
            content["message"] = inbound.text
        return Callback(orjson.dumps(body | {"type": "mo_media", "body": content}))

    async def _receive(self, request: Request) -> Response:
        practice = self._practice
        body = await body_of(request)
        account = practice.accounts.of_key(self.name, bearer(request))
        entry = practice.received(self.name, account, body)
        try:
            if account is None or account.service_plan_id not in (None, request.path_params["plan"]):
                raise Refused("", status=401)
            fields = rules.read(request.headers.get("content-type", ""), body)
            # with a secret the URL is a matter of the dashboard: a batch cannot redirect what is signed
            if isinstance(fields.get("callback_url"), str) and account.webhook_secret is None:
                account = account.model_copy(update={"callback_url": fields["callback_url"]})
            rules.check(fields, account.callback_url is not None)
            if practice.callbacks.full:
                raise Refused("", status=429)
        except Refused as refused:
            return answered(entry, _refusal(refused))
        numbers = rules.recipients(fields)
        faults = practice.orders.by_number(account.name, numbers)
        acceptance = self._accept(account, fields, faults)
        return await practice.answer(entry, account, faults[numbers[0]], acceptance, _ordered)

    def _accept(self, account: Account, fields: Fields, faults: dict[str, Faults]) -> Acceptance:
        batch = self._batch(fields, list(faults))
        wanted = batch["delivery_report"]
        if wanted == "none":
            return Acceptance(Answer(batch, 201))
        if wanted in ("summary", "full"):
            return Acceptance(Answer(batch, 201), _batch_report(batch, faults))
        scripts = []
        for number, own in faults.items():
            states = _states(own)
            if wanted == "per_recipient_final":
                states = [state for state in states if state.status not in INTERMEDIATE]
            pause = self._practice.pause_of(own)
            bodies = [
                _recipient_report(batch, number, state, at, own)
                for state, at in zip(states, moments(len(states), own, pause), strict=True)
            ]
            scripts.append(arranged(bodies, own, pause))
        return Acceptance(Answer(batch, 201), scripts)

    def _batch(self, fields: Fields, numbers: Sequence[str]) -> dict[str, Any]:
        """The batch as the answer shows it: what was asked for, with an id and the defaults."""
        now = datetime.now(UTC)
        shown = {
            "type": "mt_text",
            "delivery_report": "none",
            "expire_at": _timestamp(now + timedelta(days=3)),
        }
        made = {"id": ulid(), "to": numbers, "canceled": False}
        times = {"created_at": _timestamp(now), "modified_at": _timestamp(now)}
        return shown | {key: value for key, value in fields.items() if key != "callback_url"} | made | times


def _states(faults: Faults) -> list[State]:
    return REPORTS.get(faults.report, REPORTS["delivered"])


def _recipient_report(batch: Fields, number: str, state: State, at: datetime, faults: Faults) -> bytes:
    report: dict[str, Any] = {
        "type": f"recipient_delivery_report_{_medium(batch)}",
        "batch_id": batch["id"],
        "recipient": number,
        "code": state.code,
        "status": state.status,
        "at": _timestamp(at),
        "operator_status_at": _timestamp(at.replace(microsecond=0)),
        "operator": "311071",
    }
    if batch["type"] == "mt_text":
        report["encoding"] = "GSM" if str(batch["body"]).isascii() else "UNICODE"
        report["number_of_message_parts"] = 1
    return orjson.dumps(report | _reference(batch, faults))


def _batch_report(batch: Fields, faults: dict[str, Faults]) -> list[list[Callback]]:
    """The one callback that comes when every message is final; none when a message never is."""
    finals: dict[State, list[str]] = {}
    for number, own in faults.items():
        state = _states(own)[-1]
        if state.status in INTERMEDIATE:
            return []
        finals.setdefault(state, []).append(number)
    statuses: list[dict[str, Any]] = [
        {"code": state.code, "status": state.status, "count": len(numbers)}
        | ({"recipients": numbers} if batch["delivery_report"] == "full" else {})
        for state, numbers in finals.items()
    ]
    first = next(iter(faults.values()))
    report = {
        "type": f"delivery_report_{_medium(batch)}",
        "batch_id": batch["id"],
        "total_message_count": len(faults),
        "statuses": statuses,
    }
    return [arranged([orjson.dumps(report | _reference(batch, first))], first, 0)]


def _reference(batch: Fields, faults: Faults) -> dict[str, str]:
    echoed = faults.reference and "client_reference" in batch
    return {"client_reference": batch["client_reference"]} if echoed else {}


def _medium(batch: Fields) -> str:
    return "mms" if batch["type"] == "mt_media" else "sms"


def _refusal(refused: Refused) -> Answer:
    return Answer({"code": refused.code, "text": refused.text} if refused.code else "", refused.status)


def _ordered(answer: str) -> Answer:
    if answer == "throttled":
        return _refusal(Refused("", status=429))
    return _refusal(Refused("illegal_number_type" if answer == "refused" else answer, "As ordered."))


def _type_of(url: str) -> str:
    return mimetypes.guess_type(url)[0] or "application/octet-stream"


def _timestamp(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
