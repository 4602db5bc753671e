"""The Sinch MMS JSON API from its server side: ``POST /ep/v2/`` and the postbacks that follow.

Written from the carrier's pages (https://developers.sinch.com/docs/mms/api-reference/: mms,
postback-notification-codes, mms-mo-postbacks), not from any client of it.
"""

import re
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from itertools import count
from time import monotonic, time
from typing import Any, ClassVar, NamedTuple
from uuid import uuid4

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from simulator import sinch_mms_rules as rules
from simulator.accounts import Account
from simulator.callbacks import Callback, Retries, arranged, moments
from simulator.faults import Faults
from simulator.media import Unfetchable, content_type
from simulator.practice import Acceptance, Answer, Inbound, Practice, answered, body_of
from simulator.sinch_mms_rules import Fields, Refused

#: the carrier's seconds until a saved MMS is encoded
ENCODING_TIME = 100.0
MAX_SAVED = 10_000

#: Sinch's own page on retries is not public beyond its start; these are its sister platform's terms: exactly
#: HTTP 200 within 10 s, the next try 5 minutes later, 5 more tries at most
#: (https://www.skycore.com/help/messaging-api-v2-intro/)
RETRIES = Retries((300.0,) * 5, taken=range(200, 201))


class Postback(NamedTuple):
    code: str
    sent_as: str | None
    status: str
    details: str


SENT = Postback("N101", "MMS", "Sent", "Message Sent")
DELIVERED = Postback("N102", "MMS", "Delivered", "Message Delivered")
REJECTED = Postback("E102", "MMS", "Rejected", "Message Rejected")
FALLBACK_DELIVERED = Postback("N202", "SMS", "Delivered", "Message Delivered as SMS")

#: the word in an order -> the postbacks of one message
REPORTS = {
    "delivered": [SENT, DELIVERED],
    "lost": [SENT],
    "unknown": [SENT, Postback("N777", "MMS", "Teleported", "Message Teleported")],
    "expired": [SENT, Postback("N103", "MMS", "Expired", "Message Expired")],
    # the legacy examples of E101 have no sent-as
    "failed": [Postback("E101", None, "Failed", "Message Failed")],
    "rejected": [SENT, REJECTED],
    "rejected_then_sms": [SENT, REJECTED, FALLBACK_DELIVERED],
    "delivered_as_sms": [SENT, Postback("N102", "SMS", "Delivered", "Message Delivered")],
    "fallback_delivered": [SENT, FALLBACK_DELIVERED],
    "fallback_failed": [SENT, Postback("E202", "SMS", "Failed", "Fallback SMS Failed")],
    # N102 means "status updated", not "delivered": its status word may say the opposite
    "delivered_but_expired": [SENT, Postback("N102", "MMS", "Message Sent/Expired", "Message Expired")],
    "transcoded": [SENT, Postback("N013", "MMS", "Sent", "Transcoding succeeded"), DELIVERED],
    "image_failed": [Postback("E011", None, "Rejected", "Content validation failed")],
    "audio_failed": [Postback("E012", None, "Rejected", "Audio encoding failed")],
    "video_failed": [Postback("E013", None, "Rejected", "Video encoding failed")],
    "queue_error": [Postback("E999", None, "Failed", "Queue processing error")],
}

#: the same words for a saved MMS; every other word but "lost" ends in N003
SAVE_FAILURES = {"audio_failed": "E002", "video_failed": "E003", "image_failed": "E004"}


@dataclass(frozen=True, slots=True)
class Saved:
    """A saved MMS. *ready_at* is on the monotonic clock."""

    ready_at: float
    broken: bool


class SinchMms:
    name: ClassVar[str] = "sinch_mms"
    reports: ClassVar[frozenset[str]] = frozenset(REPORTS)
    codes: ClassVar[str] = "[A-Z][0-9]{3}"
    retries: ClassVar[Retries] = RETRIES
    polled: ClassVar[bool] = False

    def __init__(self, practice: Practice) -> None:
        self._practice = practice
        self._saved: OrderedDict[tuple[str, str], Saved] = OrderedDict()
        # ids that a receiver already knows from an earlier run must not come again
        self._mms_ids = count(int(time()))

    def routes(self) -> list[Route]:
        return [Route(path, self._receive, methods=["POST"]) for path in ("/ep/v2/", "/ep/v2")]

    def inbound(self, inbound: Inbound, account: Account, base_url: str) -> Callback:
        """The text travels as a .txt file: the postback has no field for it."""
        files = list(inbound.files)
        if inbound.text is not None:
            files.append(base_url + self._practice.files.keep(inbound.text.encode(), "txt"))
        if inbound.smil:
            files.append(base_url + self._practice.files.keep(b"<smil><body/></smil>", "smil"))
        optional = {
            "keyword": inbound.keyword,
            "message-subject": inbound.subject,
            "copy-to": [{"number": number} for number in inbound.copy_to] or None,
        }
        postback = {
            "origin": "MMS_MO",
            "code": "N401",
            "from": inbound.sender.removeprefix("+"),
            "to": inbound.recipient.removeprefix("+"),
            "tracking-id": f"MMSMO{uuid4().hex}",
            "operator-id": "31003",
            "timestamp": _timestamp(datetime.now(UTC), "utc"),
            **{key: value for key, value in optional.items() if value is not None},
            "content": [{"file": url} for url in files],
        }
        return Callback(orjson.dumps(postback))

    async def _receive(self, request: Request) -> Response:
        practice = self._practice
        body = await body_of(request)
        account = practice.accounts.of_key(self.name, request.headers.get("x-api-key", ""))
        entry = practice.received(self.name, account, body)
        try:
            fields = rules.read(request.headers.get("content-type", ""), body)
            if account is None:
                raise Refused("E104")
            rules.check(fields, account.service_id)
            await self._copy_media(fields)
            if fields["action"] == "sendsavedmms":
                self._check_saved(account, str(fields["mms-id"]))
            if practice.callbacks.full:
                raise Refused("E113")
        except Refused as refused:
            return answered(entry, _failure(refused.code))
        faults = practice.orders.take(account.name, fields.get("to", ""))
        acceptance = self._accept(account, fields, faults)
        return await practice.answer(entry, account, faults, acceptance, _failure)

    async def _copy_media(self, fields: Fields) -> None:
        for kind, url in rules.media(fields):
            code, types = rules.MEDIA[kind]
            try:
                found = await content_type(self._practice.lines, url)
            except Unfetchable:
                raise Refused(code) from None
            if found is not None and not re.fullmatch(types, found):
                raise Refused(code)

    def _check_saved(self, account: Account, mms_id: str) -> None:
        saved = self._saved.get((account.name, mms_id))
        # what became of a template that could not be encoded is documented nowhere: it is taken for gone
        if saved is None or (saved.broken and monotonic() >= saved.ready_at):
            raise Refused("E241")
        if monotonic() < saved.ready_at:
            raise Refused("E626")

    def _accept(self, account: Account, fields: Fields, faults: Faults) -> Acceptance:
        tracking_id = f"MMSMT{uuid4().hex}"
        if fields["action"] == "savemms":
            return self._save(account, fields, faults, tracking_id)
        answer = {"status": "success", "to": fields["to"], "tracking-id": tracking_id}
        if fields["action"] == "sendsavedmms":
            answer["from"] = fields["from"]
        answer["status-details"] = "MMS request accepted and queued for processing and delivery."
        if account.callback_url is None:
            return Acceptance(Answer(answer))
        postbacks = REPORTS.get(faults.report, REPORTS["delivered"])
        pause = self._practice.pause_of(faults)
        bodies = [
            _report(postback, fields, tracking_id, at, faults)
            for postback, at in zip(postbacks, moments(len(postbacks), faults, pause), strict=True)
        ]
        return Acceptance(Answer(answer), [arranged(bodies, faults, pause)])

    def _save(self, account: Account, fields: Fields, faults: Faults, tracking_id: str) -> Acceptance:
        mms_id = str(next(self._mms_ids))
        wait = 0 if faults.early else ENCODING_TIME * self._practice.pace + faults.late
        failure = SAVE_FAILURES.get(faults.report)
        if faults.takes_message:
            self._saved[account.name, mms_id] = Saved(monotonic() + wait, failure is not None)
            if len(self._saved) > MAX_SAVED:
                self._saved.popitem(last=False)
        answer = {
            "status": "success",
            "tracking-id": tracking_id,
            "mms-id": mms_id,
            "status-details": "MMS accepted and queued for encoding.",
        }
        if faults.report == "lost":
            return Acceptance(Answer(answer))
        postback = {"origin": "MMS_MT", "code": failure or "N003", "mms-id": mms_id}
        if failure:
            postback["status-details"] = "Encoding failed"
        if "client-reference" in fields and faults.reference:
            postback["client-reference"] = fields["client-reference"]
        body = orjson.dumps(postback)
        return Acceptance(
            Answer(answer), [[Callback(body, wait), *[Callback(body)] * (faults.duplicate - 1)]]
        )


def _failure(code: str) -> Answer:
    code = {"refused": "E114", "throttled": "E113"}.get(code, code)
    return Answer(
        {"status": "failure", "error-code": code, "error-info": rules.ERRORS.get(code, "As ordered.")}
    )


def _report(postback: Postback, fields: Fields, tracking_id: str, at: datetime, faults: Faults) -> bytes:
    body: dict[str, Any] = {"origin": "MMS_MT", "code": postback.code}
    if postback.sent_as:
        body["sent-as"] = postback.sent_as
    body |= {
        "status": postback.status,
        "status-details": postback.details,
        "to": fields["to"],
        "from": fields["from"],
    }
    if faults.timestamp != "none":
        body["timestamp"] = _timestamp(at, faults.timestamp)
    body["trackingid" if faults.trackingid else "tracking-id"] = tracking_id
    if "client-reference" in fields and faults.reference:
        body["client-reference"] = fields["client-reference"]
    return orjson.dumps(body)


def _timestamp(at: datetime, style: str) -> str:
    """The three styles that the pages show: ``...Z``, ``...-05:00``, and a fraction with ``+00:00``."""
    if style == "fraction":
        return at.isoformat(timespec="microseconds")
    if style == "offset":
        return at.astimezone(timezone(timedelta(hours=-5))).isoformat(timespec="seconds")
    return at.isoformat(timespec="seconds").replace("+00:00", "Z")
