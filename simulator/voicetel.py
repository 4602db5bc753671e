"""VoiceTel from its server side: v2 sends, whose answers name no message, and v2.2 sends, whose answers do.

Sends are written from the carrier's pages (www.voicetel.com/api/SMS.html, voicetel.com/docs/api/v2.2/). What
its webhooks look like is documented nowhere: here they have the shape of the broker that it resells, or the
names of its own requests; the account says which.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, ClassVar, NamedTuple
from urllib.parse import urlencode
from uuid import uuid4

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from simulator import voicetel_rules as rules
from simulator.accounts import Account
from simulator.callbacks import ASSUMED, Callback, Retries, arranged
from simulator.faults import digits
from simulator.forms import Unreadable, form
from simulator.journal import Entry
from simulator.practice import Acceptance, Answer, Inbound, Practice, answered, bearer, body_of
from simulator.voicetel_rules import Fields, Refused

FORM = "application/x-www-form-urlencoded"


class State(NamedTuple):
    """A status as an SMPP receipt has it, and as a plain word."""

    stat: str
    word: str
    err: str = "000"


SENT, DELIVERED = State("ACCEPTD", "sent"), State("DELIVRD", "delivered")

#: the word in an order -> the receipts of one message
REPORTS = {
    "delivered": [DELIVERED],
    "sent_then_delivered": [SENT, DELIVERED],
    "lost": [],
    "unknown": [State("TELEPRT", "teleported")],
    "expired": [State("EXPIRED", "expired", "027")],
    "failed": [State("UNDELIV", "failed", "001")],
    "rejected": [State("REJECTD", "rejected", "008")],
    "deleted": [State("DELETED", "deleted", "006")],
    "no_receipt": [State("UNKNOWN", "unknown", "099")],
}


class Send(NamedTuple):
    """A send of either generation; numbers have ten digits. *id* is that of the answer, if any."""

    source: str
    destination: str
    text: str
    id: str | None


class VoiceTel:
    name: ClassVar[str] = "voicetel"
    reports: ClassVar[frozenset[str]] = frozenset(REPORTS)
    codes: ClassVar[str] = "(?!)"
    retries: ClassVar[Retries] = ASSUMED
    polled: ClassVar[bool] = False

    def __init__(self, practice: Practice) -> None:
        self._practice = practice

    def routes(self) -> list[Route]:
        v2 = [Route(f"/v2/{kind}/", self._receive_v2, methods=["POST"]) for kind in ("sms", "mms")]
        return [*v2, Route("/v2.2/messages", self._receive_v22, methods=["POST"])]

    def inbound(self, inbound: Inbound, account: Account, base_url: str) -> Callback:
        sender, recipient, text = digits(inbound.sender), digits(inbound.recipient), inbound.text or ""
        if account.shape == "broker":
            message: dict[str, Any] = {"referenceId": uuid4().hex, "from": sender, "to": [recipient]}
            message |= {"text": text, "deliveryReceipt": False}
            return Callback(orjson.dumps(message | ({"mediaUrls": inbound.files} if inbound.files else {})))
        source, destination = sender[-10:], recipient[-10:]
        if account.api == "2":
            fields = {"source": source, "destination": destination, "messageText": text}
            if inbound.files:
                fields |= {"mmsURL": inbound.files[0], "mmsSubject": inbound.subject or ""}
            return Callback(urlencode(fields).encode(), content_type=FORM)
        message = {
            "id": uuid4().hex,
            "type": "mms" if inbound.files else "sms",
            "fromNumber": source,
            "toNumber": destination,
            "text": text,
            "subject": inbound.subject,
            "mediaUrls": inbound.files,
        }
        return Callback(orjson.dumps(message))

    async def _receive_v2(self, request: Request) -> Response:
        body = await body_of(request)
        try:
            fields: Fields = dict(await form(request.headers.get("content-type", ""), body))
        except Unreadable:
            fields = {}
        key = str(fields.get("apikey") or "")
        account = self._practice.accounts.of_key(self.name, key)
        # the key stands in the body here, and the journal shows bodies
        entry = self._practice.received(self.name, account, _without(key, body))
        try:
            account = self._checked(account, 422)
            rules.check_v2(fields, mms=request.url.path.startswith("/v2/mms"))
        except Refused as refused:
            return answered(entry, rules.refusal_v2(refused.status, str(refused)))
        send = Send(fields["source"], fields["destination"], fields["messageText"], None)
        accepted = Answer({"status": "Success", "Message": "Accepted for delivery"})
        return await self._answer(account, entry, send, accepted, rules.ordered_v2)

    async def _receive_v22(self, request: Request) -> Response:
        body = await body_of(request)
        account = self._practice.accounts.of_key(self.name, bearer(request))
        entry = self._practice.received(self.name, account, body)
        try:
            account = self._checked(account, 429)
            fields = rules.read_v22(body)
        except Refused as refused:
            return answered(entry, rules.refusal_v22(refused.status, str(refused)))
        send = Send(fields["fromNumber"], fields["toNumber"], fields["text"], uuid4().hex)
        urls = fields.get("mediaUrls", [])
        data = {
            "id": send.id,
            "type": "mms" if urls else "sms",
            "fromNumber": send.source,
            "toNumber": send.destination,
            "parts": -(-max(len(send.text), 1) // 160),
            "subject": fields.get("subject"),
            "mediaUrls": urls,
        }
        accepted = Answer({"status": "success", "data": data}, 201)
        return await self._answer(account, entry, send, accepted, rules.ordered_v22)

    def _checked(self, account: Account | None, throttled: int) -> Account:
        if account is None:
            raise Refused(401)
        if self._practice.callbacks.full:
            raise Refused(throttled)
        return account

    async def _answer(
        self,
        account: Account,
        entry: Entry,
        send: Send,
        accepted: Answer,
        refusal: Callable[[str], Answer],
    ) -> Response:
        practice = self._practice
        faults = practice.orders.take(account.name, f"1{send.destination}")
        states = REPORTS.get(faults.report, REPORTS["delivered"])
        write = _broker_receipt if account.shape == "broker" else _named_receipt
        # what a receipt is called when the answer called the message nothing, nobody knows
        reference = send.id or str(uuid4())
        receipts = [write(send, reference, state) for state in states]
        script = arranged(receipts, faults, practice.pause_of(faults))
        return await practice.answer(entry, account, faults, Acceptance(accepted, [script]), refusal)


def _broker_receipt(send: Send, reference: str, state: State) -> bytes:
    """An SMPP receipt in the text of a message that goes the other way."""
    now = datetime.now(UTC).strftime("%y%m%d%H%M")
    delivered = int(state.stat == "DELIVRD")
    text = (
        f"id:{reference} sub:001 dlvrd:{delivered:03} submit date:{now} done date:{now} "
        f"stat:{state.stat} err:{state.err} text:{send.text[:20]}"
    )
    receipt = {
        "referenceId": reference,
        "from": f"1{send.destination}",
        "to": [f"1{send.source}"],
        "text": text,
        "deliveryReceipt": True,
    }
    return orjson.dumps(receipt)


def _named_receipt(send: Send, reference: str, state: State) -> bytes:
    if send.id is None:
        v2 = {"source": send.source, "destination": send.destination, "status": state.word, "type": "dlr"}
        return orjson.dumps(v2)
    v22 = {"id": reference, "fromNumber": send.source, "toNumber": send.destination, "status": state.word}
    return orjson.dumps(v22 | {"type": "dlr"})


def _without(key: str, body: bytes | None) -> bytes | None:
    return body.replace(key.encode(), b"***") if body and key else body
