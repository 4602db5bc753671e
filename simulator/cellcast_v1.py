"""The Cellcast v1 API (the newer platform) from its server side: sends, webhooks, and reports to ask for.

Written from the carrier's pages (https://developer.cellcast.com/getting-started/setup-webhook.html and
/api-docs/{sms, mms, get-responses}.html), not from any client of ours.
"""

import re
import secrets
from collections import OrderedDict
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from simulator.accounts import Account
from simulator.callbacks import ASSUMED, Callback, Retries, arranged
from simulator.faults import Faults, digits, of_the_answer
from simulator.forms import File, Unreadable, form
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

MAX_SENT = 10_000
#: the sender of those who name none
SHARED = "#SharedNum#"

#: the word in an order -> the statuses of the webhooks
REPORTS = {
    "delivered": ["delivered"],
    "sent_then_delivered": ["sent", "delivered"],
    "lost": [],
    "unknown": ["teleported"],
    "expired": ["expired"],
    "failed": ["failed"],
    "rejected": ["rejected"],
    "dead": ["dead"],
    # on a message that was sent, the handset "received" it
    "received": ["received"],
    # so its own pages spell it in one place
    "misspelt": ["delievered"],
}

Fields = dict[str, Any]


class Refused(Exception):
    """The carrier refuses in a sentence; most of its refusals are HTTP 200."""


class CellcastV1:
    name: ClassVar[str] = "cellcast_v1"
    reports: ClassVar[frozenset[str]] = frozenset(REPORTS)
    codes: ClassVar[str] = "(?!)"
    retries: ClassVar[Retries] = ASSUMED
    polled: ClassVar[bool] = True

    def __init__(self, practice: Practice) -> None:
        self._practice = practice
        self._became: OrderedDict[tuple[str, str], Fields] = OrderedDict()
        self._replies: dict[str, list[Fields]] = {}

    def routes(self) -> list[Route]:
        return [
            Route("/api/v1/gateway", self._send_sms, methods=["POST"]),
            Route("/api/v1/gatewaymms", self._send_mms, methods=["POST"]),
            Route("/api/v2/report/message/{id}", self._report),
            Route("/api/v1/apiClient/getResponses", self._responses),
        ]

    def inbound(self, inbound: Inbound, account: Account, base_url: str) -> Callback:
        """No page says how a picture comes in: its URL stands in the text."""
        text = "\n".join([*([inbound.text] if inbound.text is not None else []), *inbound.files])
        sender, receiver = f"+{digits(inbound.sender)}", f"+{digits(inbound.recipient)}"
        waiting = {
            # national, and without the leading zero; the id is always empty
            "from": sender.removeprefix("+61"),
            "body": text,
            "received_at": _timestamp(),
            "message_id": "",
        }
        self._replies.setdefault(account.name, []).append(waiting)
        body = {
            "_id": secrets.token_hex(12),
            "status": "delivered",
            "type": "receive",
            "message": text,
            "sender": sender,
            "receiver": receiver,
        }
        return Callback(orjson.dumps(body))

    async def _send_sms(self, request: Request) -> Response:
        body = await body_of(request)
        try:
            fields = orjson.loads(body or b"")
        except orjson.JSONDecodeError:
            fields = None
        return await self._send(request, body, fields)

    async def _send_mms(self, request: Request) -> Response:
        body = await body_of(request, MAX_BODY_WITH_FILES)
        try:
            fields: Fields | None = dict(await form(request.headers.get("content-type", ""), body))
        except Unreadable:
            fields = None
        if fields and isinstance(fields.get("contacts"), str):
            # a form has no lists: JSON, or numbers with commas between
            contacts = fields["contacts"]
            fields["contacts"] = orjson.loads(contacts) if contacts.startswith("[") else contacts.split(",")
        return await self._send(request, body, fields, mms=True)

    async def _send(
        self, request: Request, body: bytes | None, fields: Any, *, mms: bool = False
    ) -> Response:
        practice = self._practice
        account = practice.accounts.of_key(self.name, bearer(request))
        entry = practice.received(self.name, account, body)
        if account is None:
            return answered(entry, _failure("Unauthorized", 401))
        try:
            numbers = _checked(fields, mms=mms)
        except Refused as refused:
            return answered(entry, _failure(str(refused)))
        if practice.callbacks.full:
            return answered(entry, _ordered("throttled"))
        faults = practice.orders.by_number(account.name, numbers)
        acceptance = self._accept(account, fields, faults)
        return await practice.answer(entry, account, of_the_answer(faults), acceptance, _ordered)

    def _accept(self, account: Account, fields: Fields, faults: Mapping[str, Faults]) -> Acceptance:
        queued, scripts = [], []
        for number, own in faults.items():
            if own.answer == "refused" and not own.takes_message:
                continue
            message_id = secrets.token_hex(12)
            progress = {"data": {"messageData": {"status": "sent"}}}
            queued.append({"Number": number, "MessageId": message_id, "jobInfo": progress})
            if own.takes_message:
                statuses = REPORTS.get(own.report, REPORTS["delivered"])
                self._remember(account, message_id, statuses)
                scripts.append(self._webhooks(fields, number, message_id, statuses, own))
        body = {"status": True, "message": "SMS Sent Successfully", "data": {"queueResponse": queued}}
        return Acceptance(Answer(body), scripts)

    def _webhooks(
        self, fields: Fields, number: str, message_id: str, statuses: list[str], faults: Faults
    ) -> list[Callback]:
        event = {"_id": message_id, "type": "send", "sender": fields.get("sender") or SHARED}
        bodies = [orjson.dumps(event | {"status": status, "receiver": f"+{number}"}) for status in statuses]
        return arranged(bodies, faults, self._practice.pause_of(faults))

    def _remember(self, account: Account, message_id: str, statuses: list[str]) -> None:
        now = _timestamp()
        # a report that is lost on the way is known to who asks
        status = statuses[-1] if statuses else "delivered"
        known = {"_id": message_id, "status": status, "updatedAt": now, "send_time": now}
        self._became[account.name, message_id] = known
        if len(self._became) > MAX_SENT:
            self._became.popitem(last=False)

    async def _report(self, request: Request) -> Response:
        account = self._practice.accounts.of_key(self.name, bearer(request))
        if account is None:
            return answered({}, _failure("Unauthorized", 401))
        found = self._became.get((account.name, request.path_params["id"]))
        if found is None:
            return answered({}, _failure("No record found", 404))
        return answered({}, Answer({"status": True, "message": "Message report", "data": found}))

    async def _responses(self, request: Request) -> Response:
        """25 on a page; nothing that marks them as read is documented, so they come again."""
        account = self._practice.accounts.of_key(self.name, bearer(request))
        if account is None:
            return answered({}, _failure("Unauthorized", 401))
        page = int(request.query_params.get("page", "1"))
        items = self._replies.get(account.name, [])[(page - 1) * 25 : page * 25]
        return answered({}, Answer({"status": True, "message": "Responses", "data": {"items": items}}))


def _checked(fields: Any, *, mms: bool) -> list[str]:
    """The recipients of a send that is in order, as 614NNNNNNNN. Raises ``Refused``."""
    if not isinstance(fields, dict):
        raise Refused("The request body is not valid")
    contacts = fields.get("contacts")
    if not isinstance(fields.get("message"), str) or not fields["message"]:
        raise Refused("message is required")
    if not isinstance(contacts, list) or not 1 <= len(contacts) <= 1000:
        raise Refused("contacts must have 1 to 1000 numbers")
    if mms:
        media = fields.get("media")
        if not isinstance(media, File) or not 0 < len(media.content) <= 230_000:
            raise Refused("media must be a file of at most 230 KB")
        if media.content_type not in ("image/jpeg", "image/jpg", "image/png"):
            raise Refused("media must be jpg or png")
    delay = fields.get("delay") or 0
    if not str(delay).isdecimal() or int(delay) > 86_400_000:
        raise Refused("delay must be at most 86400000")
    numbers = []
    for contact in contacts:
        match = re.fullmatch(r"(?:\+?61|0)?(4[0-9]{8})", str(contact).replace(" ", ""))
        if not match:
            raise Refused(f"{contact} is not a valid number")
        numbers.append(f"61{match[1]}")
    return list(dict.fromkeys(numbers))


def _failure(text: str, status: int = 200) -> Answer:
    return Answer({"status": False, "message": text, "error": {}, "data": []}, status)


def _ordered(answer: str) -> Answer:
    return _failure("Too many requests", 429) if answer == "throttled" else _failure("Invalid contact number")


def _timestamp() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
