"""The Swift API 2.0 from its server side: ``POST /v1/sms``, ``POST /v1/mms``, and the webhooks that follow.

Written from the carrier's pages (https://swift-sms-2-0-docs.pages.dev/api/messaging/: sms, mms, incoming,
dlr), not from any client of ours.
"""

import base64
import mimetypes
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from simulator import swift_rules as rules
from simulator.accounts import Account
from simulator.callbacks import ASSUMED, Callback, Retries, arranged, moments
from simulator.faults import Faults, digits
from simulator.files import PIXEL
from simulator.ids import ulid
from simulator.practice import (
    MAX_BODY_WITH_FILES,
    Acceptance,
    Answer,
    Inbound,
    Practice,
    answered,
    bearer,
    body_of,
)
from simulator.swift_rules import Fields, Refused

#: the number that a send without ``from`` goes out from
ACCOUNT_NUMBER = "12003004000"

#: the word in an order -> the values of delivery_status; "delivered" is the only one that is printed anywhere
REPORTS = {
    "delivered": ["delivered"],
    "sent_then_delivered": ["sent", "delivered"],
    "lost": [],
    "unknown": ["teleported"],
    "expired": ["expired"],
    "failed": ["failed"],
    "rejected": ["rejected"],
    "undelivered": ["undelivered"],
    "error_code": ["REMOTE_DID_INACTIVE"],
    # the object that names the message is there "if available"
    "unnamed": ["delivered"],
}

#: what an order's ``refused`` and ``throttled`` become
CODES = {"refused": "RECIPIENT_ERROR", "throttled": "TOO_MANY_DISPATCHES"}


class Swift:
    name: ClassVar[str] = "swift"
    reports: ClassVar[frozenset[str]] = frozenset(REPORTS)
    codes: ClassVar[str] = "[A-Za-z]+(_[A-Za-z]+)*"
    retries: ClassVar[Retries] = ASSUMED
    polled: ClassVar[bool] = False

    def __init__(self, practice: Practice) -> None:
        self._practice = practice

    def routes(self) -> list[Route]:
        return [
            Route("/v1/sms", self._receive_sms, methods=["POST"]),
            Route("/v1/mms", self._receive_mms, methods=["POST"]),
        ]

    def inbound(self, inbound: Inbound, account: Account, base_url: str) -> Callback:
        """The files travel inside: a local one with its content, any other as one grey pixel."""
        body: dict[str, Any] = {
            "from": digits(inbound.sender),
            "id": ulid(),
            "timestamp": _timestamp(datetime.now(UTC)),
            "to": digits(inbound.recipient),
        }
        if inbound.files or inbound.subject is not None:
            return _callback(body | {"type": "mms", "data": self._message(inbound)})
        return _callback(body | {"type": "sms", "body": inbound.text or ""})

    def _message(self, inbound: Inbound) -> dict[str, Any]:
        parts = [_part("application/smil", b"<smil><body/></smil>")] if inbound.smil else []
        if inbound.text is not None:
            parts.append(_part("text/plain; charset=utf-8", inbound.text.encode()))
        for url in inbound.files:
            kept = self._practice.files.read(url.rpartition("/")[2]) or (PIXEL, mimetypes.guess_type(url)[0])
            parts.append(_part(kept[1] or "image/png", kept[0]))
        headers = {"content-type": "multipart/mixed"}
        if inbound.subject is not None:
            headers["subject"] = inbound.subject
        return {"body": "", "encoding": "identity", "headers": headers, "is_multipart": True, "parts": parts}

    async def _receive_sms(self, request: Request) -> Response:
        return await self._receive(request, "SMS")

    async def _receive_mms(self, request: Request) -> Response:
        return await self._receive(request, "MMS")

    async def _receive(self, request: Request, kind: str) -> Response:
        practice = self._practice
        body = await body_of(request, MAX_BODY_WITH_FILES)
        account = practice.accounts.of_key(self.name, bearer(request))
        entry = practice.received(self.name, account, body)
        if account is None:
            return answered(entry, Answer("Unauthorized\n", 401))
        fields: Fields = {}
        try:
            fields = rules.read(body)
            rules.check(fields, kind)
            if practice.callbacks.full:
                raise Refused("TOO_MANY_DISPATCHES")
        except Refused as refused:
            return answered(entry, _refusal(fields, kind, refused.code))
        numbers = list(dict.fromkeys(digits(number) for number in fields["to"]))
        faults = practice.orders.by_number(account.name, numbers)
        acceptance = self._accept(fields, kind, faults)
        first = faults[numbers[0]]
        if isinstance(first.answer, str) and first.answer != "closed" and len(set(faults.values())) > 1:
            # a refusal of some is part of the answer to all
            first = first.model_copy(update={"answer": None})
        return await practice.answer(
            entry, account, first, acceptance, lambda code: _refusal(fields, kind, code)
        )

    def _accept(self, fields: Fields, kind: str, faults: Mapping[str, Faults]) -> Acceptance:
        results, scripts = [], []
        for number, own in faults.items():
            refused = own.answer if isinstance(own.answer, str) and own.answer != "closed" else None
            code = CODES.get(refused, refused) if refused else "OK"
            if not rules.is_number(number):
                code = "RECIPIENT_ERROR"
            result = _result(fields, kind, number, code)
            results.append(result)
            if own.takes_message and rules.is_number(number) and fields.get("request_dlr"):
                scripts.append(self._reports(result, own))
        failed = [result["error_code"] != "OK" for result in results]
        status = 422 if all(failed) else 207 if any(failed) else 200
        return Acceptance(Answer({"results": results}, status), scripts)

    def _reports(self, result: Mapping[str, Any], faults: Faults) -> list[Callback]:
        statuses = REPORTS.get(faults.report, REPORTS["delivered"])
        pause = self._practice.pause_of(faults)
        kind = result["type"].lower()
        bodies = []
        for status, at in zip(statuses, moments(len(statuses), faults, pause), strict=True):
            report: dict[str, Any] = {
                "delivery_status": status,
                "from": result["from"],
                "id": ulid(),
                "timestamp": _timestamp(at),
                "to": result["to"],
                "type": f"{kind}_dlr",
            }
            if faults.report != "unnamed":
                report[kind] = {"id": result["id"]}
            if kind == "mms":
                report["data"] = _part("text/plain", b"")
            bodies.append(orjson.dumps(report, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS))
        return arranged(bodies, faults, pause)


def _refusal(fields: Fields, kind: str, code: str) -> Answer:
    """A failed call has the same body as a successful one, down to the status."""
    to = fields.get("to")
    numbers = [digits(str(number)) for number in to] if isinstance(to, list) else []
    code = CODES.get(code, code)
    return Answer({"results": [_result(fields, kind, number, code) for number in numbers]}, 422)


def _result(fields: Fields, kind: str, number: str, code: str) -> dict[str, Any]:
    now = datetime.now(UTC)
    result = {
        "direction": "OUTBOUND",
        "error_code": code,
        "expires_at": fields.get("expires_at") or _timestamp(now + timedelta(days=1)),
        "from": digits(str(fields.get("from") or ACCOUNT_NUMBER)),
        "id": ulid(),
        "origin_id": fields.get("id"),
        "schedule_at": _timestamp(now),
        "status": "NEW",
        "timestamp": _timestamp(now),
        "to": number,
        "type": kind,
    }
    return result | ({"parts": [{"id": ulid()}]} if kind == "SMS" else {})


def _part(content_type: str, content: bytes) -> dict[str, Any]:
    """A leaf of the MIME tree: text as it is, anything else in base64."""
    text = content_type.startswith("text/")
    return {
        "body": content.decode() if text else base64.b64encode(content).decode(),
        "encoding": "identity" if text else "base64",
        "headers": {"content-type": content_type},
        "is_multipart": False,
        "parts": [],
    }


def _callback(body: Mapping[str, Any]) -> Callback:
    return Callback(orjson.dumps(body, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS))


def _timestamp(at: datetime) -> str:
    return at.isoformat(timespec="microseconds").replace("+00:00", "Z")
