"""The Cellcast v3 API from its server side: sends, delivery reports, replies, and both as a poll.

Written from the carrier's pages (https://support.cellcast.com.au/docs/docly-documentation/api/), not from
any client of ours.
"""

from base64 import b64decode
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from itertools import count
from time import time
from typing import Any, ClassVar
from uuid import uuid4
from zoneinfo import ZoneInfo

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from simulator import cellcast_rules as rules
from simulator.accounts import Account
from simulator.callbacks import ASSUMED, Callback, Retries, arranged
from simulator.cellcast_rules import Fields, Refused
from simulator.cellcast_sent import Sent, SentMessages
from simulator.cellcast_waiting import Waiting
from simulator.faults import Faults, digits, of_the_answer
from simulator.forms import Unreadable, form
from simulator.practice import (
    MAX_BODY_WITH_FILES,
    Acceptance,
    Answer,
    Inbound,
    Practice,
    answered,
    body_of,
)

#: the word in an order -> the status in the report; intermediate statuses are never called back
REPORTS = {
    "delivered": "Delivered",
    "expired": "Expired",
    "failed": "Failed",
    "rejected": "Rejected",
    "aborted": "Aborted",
    "no_receipt": "Unknown",
    "unknown": "Teleported",
    # the report is lost on the way: who asks is told
    "lost": "Delivered",
    # nothing is ever known, whoever asks
    "silent": "Dispatched",
    # an older page shows an object with three keys where today's shows a list
    "bare": "Delivered",
}
UNREPORTED = frozenset({"lost", "silent"})


class Cellcast:
    name: ClassVar[str] = "cellcast"
    reports: ClassVar[frozenset[str]] = frozenset(REPORTS)
    codes: ClassVar[str] = "[A-Z]+(_[A-Z]+)+"
    retries: ClassVar[Retries] = ASSUMED
    polled: ClassVar[bool] = True

    def __init__(self, practice: Practice) -> None:
        self._practice = practice
        self._sent = SentMessages()
        self._waiting = Waiting()
        # ids that a receiver already knows from an earlier run must not come again
        self._inbound_ids = count(int(time()) * 1000)

    def routes(self) -> list[Route]:
        root = "/api/v3"
        return [
            Route(f"{root}/send-sms", self._send_sms, methods=["POST"]),
            Route(f"{root}/send-mms", self._send_mms, methods=["POST"]),
            Route(f"{root}/get-sms", self._asking(self._get_sms)),
            Route(f"{root}/get-responses", self._asking(self._get_responses)),
            Route(f"{root}/inbound-read", self._asking(self._inbound_read), methods=["POST"]),
            Route(f"{root}/inbound-read-bulk", self._asking(self._inbound_read), methods=["POST"]),
        ]

    def inbound(self, inbound: Inbound, account: Account, base_url: str) -> Callback:
        """A reply, which also waits for get-responses. No page says how it names files: URLs in the text."""
        replied = self._sent.last_to(account.name, f"+{digits(inbound.sender)}")
        reply = {
            "from": f"+{digits(inbound.sender)}",
            "body": "\n".join([*([inbound.text] if inbound.text is not None else []), *inbound.files]),
            "received_at": _local_time(),
            "message_id": str(next(self._inbound_ids)),
            "custom_string": replied.custom_string if replied else "",
        }
        if replied:
            reply |= {"original_message_id": replied.id, "original_body": replied.body}
        kind = "MMS" if inbound.files else "SMS"
        self._waiting.keep(account.name, kind, reply)
        return Callback(orjson.dumps(reply | {"type": kind}))

    async def _send_sms(self, request: Request) -> Response:
        async def read(body: bytes | None) -> Fields:
            fields = rules.read(body)
            rules.check_sms(fields)
            return fields

        return await self._send(request, read)

    async def _send_mms(self, request: Request) -> Response:
        async def read(body: bytes | None) -> Fields:
            try:
                return rules.check_mms(await form(request.headers.get("content-type", ""), body))
            except Unreadable:
                raise Refused("FIELD_INVALID") from None

        return await self._send(request, read)

    async def _send(self, request: Request, read: Callable[[bytes | None], Awaitable[Fields]]) -> Response:
        practice = self._practice
        body = await body_of(request, MAX_BODY_WITH_FILES)
        account, refusal = self._account(request)
        entry = practice.received(self.name, account, body)
        if account is None:
            return answered(entry, rules.failure(refusal))
        try:
            fields = await read(body)
            numbers = rules.recipients(fields)
            if practice.callbacks.full:
                raise Refused("OVER_LIMIT")
        except Refused as refused:
            return answered(entry, rules.failure(refused.status))
        faults = practice.orders.by_number(account.name, numbers)
        acceptance = self._accept(account, fields, faults)
        return await practice.answer(entry, account, of_the_answer(faults), acceptance, rules.failure)

    def _accept(self, account: Account, fields: Fields, faults: Mapping[str, Faults]) -> Acceptance:
        accepted = {
            number: own for number, own in faults.items() if own.takes_message or own.answer != "refused"
        }
        sent = {number: self._keep(account, fields, number, own) for number, own in accepted.items()}
        answer = rules.envelope(
            {
                "messages": [_shown(message, fields) for message in sent.values()],
                "total_numbers": len(fields["numbers"]),
                # a number for SMS, a text for MMS, in the carrier's own examples
                "success_number": len(sent)
                if "sms_text" in fields and "subject" not in fields
                else f"{len(sent)}",
                "credits_used": len(sent),
            },
            "Queued",
        )
        scripts = [
            _report(fields, sent[number], own) for number, own in accepted.items() if own.takes_message
        ]
        return Acceptance(answer, scripts)

    def _keep(self, account: Account, fields: Fields, number: str, faults: Faults) -> Sent:
        sent = Sent(
            id=str(uuid4()).upper(),
            to=number,
            body=fields["sms_text"],
            date=_local_time(),
            custom_string=fields.get("custom_string") or "",
            status=REPORTS.get(faults.report, "Delivered"),
            is_sms="subject" not in fields,
        )
        if faults.takes_message:
            self._sent.keep(account.name, sent)
        return sent

    def _asking(
        self, reply: Callable[[Account, Request, bytes], Answer]
    ) -> Callable[[Request], Awaitable[Response]]:
        async def asked(request: Request) -> Response:
            body = await body_of(request) or b""
            account, refusal = self._account(request)
            return answered({}, reply(account, request, body) if account else rules.failure(refusal))

        return asked

    def _get_sms(self, account: Account, request: Request, body: bytes) -> Answer:
        return self._sent.told(account.name, request.query_params.get("message_id", ""))

    def _get_responses(self, account: Account, request: Request, body: bytes) -> Answer:
        return self._waiting.page(account.name, request.query_params)

    def _inbound_read(self, account: Account, request: Request, body: bytes) -> Answer:
        return self._waiting.read(account.name, body)

    def _account(self, request: Request) -> tuple[Account | None, str]:
        """The account, or the word for why there is none."""
        key = request.headers.get("appkey", "") or _basic(request.headers.get("authorization", ""))
        return self._practice.accounts.of_key(self.name, key), "AUTH_FAILED" if key else "AUTH_FAILED_NO_DATA"


def _basic(header: str) -> str:
    """The key in HTTP Basic, which the pages demand beside APPKEY: as user and password, or as user alone."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return b64decode(encoded, validate=True).decode().removesuffix(":")
    except ValueError:
        return ""


def _shown(sent: Sent, fields: Fields) -> dict[str, Any]:
    shown = {"message_id": sent.id, "to": sent.to, "body": sent.body, "date": sent.date, "direction": "out"}
    if sent.is_sms:
        return shown | {"from": fields.get("from", ""), "custom_string": sent.custom_string}
    return shown | {"subject": fields["subject"]}


def _report(fields: Fields, sent: Sent, faults: Faults) -> list[Callback]:
    """One list per message: whether a report ever tells of several is not documented."""
    if faults.report in UNREPORTED:
        return []
    report = {"message_id": sent.id, "status": sent.status, "recipient": sent.to.removeprefix("+")}
    if faults.report == "bare":
        return arranged([orjson.dumps(report)], faults, 0)
    if faults.reference:
        report["custom_string"] = sent.custom_string
    report["source"] = fields.get("source") or ""
    return arranged([orjson.dumps([report])], faults, 0)


def _local_time() -> str:
    return datetime.now(ZoneInfo("Australia/Sydney")).strftime("%Y-%m-%d %H:%M:%S")
