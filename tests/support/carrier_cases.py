"""The practice carriers as a table: how each is spoken to, and where things stand in what it says."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

KEY = "practice-key"
US, THEM = "12012548000", "12065550123"
OUR_MOBILE, THEIR_MOBILE = "61491570006", "61491570156"


@dataclass(frozen=True)
class Case:
    """How one carrier is spoken to, and what stands where in what it says."""

    provider: str
    path: str
    headers: dict[str, str]
    #: the request that sends to a number
    request: Callable[[str], dict[str, Any]]
    #: the status word of a callback
    word: Callable[[Any], str]
    #: whether an answer says that the message was taken
    took: Callable[[httpx.Response], bool]
    accepted: int
    unauthorized: int
    refused: int
    throttled: int
    #: word of an order -> the words of the callbacks
    words: dict[str, list[str]]
    to: str = THEM
    echoes: str = ""
    account: dict[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return f"{self.provider}{self.account.get('api', '')}{self.account.get('shape', '')}"


def _stat(body: Any) -> str:
    return str(body["text"]).partition("stat:")[2].split()[0]


CASES = [
    Case(
        provider="sinch_sms",
        path="/xms/v1/plan/batches",
        headers={"authorization": f"Bearer {KEY}"},
        request=lambda to: {
            "json": {
                "from": US,
                "to": [to],
                "body": "Hello",
                "delivery_report": "per_recipient",
                "client_reference": "ord-7",
            }
        },
        word=lambda body: body["status"],
        took=lambda answer: "id" in answer.json(),
        accepted=201,
        unauthorized=401,
        refused=403,
        throttled=429,
        words={
            "delivered": ["Queued", "Dispatched", "Delivered"],
            "lost": ["Queued", "Dispatched"],
            "unknown": ["Queued", "Teleported"],
            "expired": ["Queued", "Dispatched", "Expired"],
            "failed": ["Queued", "Dispatched", "Failed"],
            "rejected": ["Queued", "Rejected"],
            "undispatched": ["Queued", "Delivered"],
            "aborted": ["Queued", "Aborted"],
            "cancelled": ["Queued", "Cancelled"],
            "deleted": ["Queued", "Dispatched", "Deleted"],
            "no_receipt": ["Queued", "Dispatched", "Unknown"],
            "failed_with_code_0": ["Queued", "Dispatched", "Failed"],
        },
        echoes="client_reference",
    ),
    Case(
        provider="swift",
        path="/v1/sms",
        headers={"authorization": f"Bearer {KEY}"},
        request=lambda to: {"json": {"from": US, "to": [to], "body": "Hello", "request_dlr": True}},
        word=lambda body: body["delivery_status"],
        took=lambda answer: [result["error_code"] for result in answer.json()["results"]] == ["OK"],
        accepted=200,
        unauthorized=401,
        refused=422,
        throttled=422,
        words={
            "delivered": ["delivered"],
            "sent_then_delivered": ["sent", "delivered"],
            "lost": [],
            "unknown": ["teleported"],
            "expired": ["expired"],
            "failed": ["failed"],
            "rejected": ["rejected"],
            "undelivered": ["undelivered"],
            "error_code": ["REMOTE_DID_INACTIVE"],
            "unnamed": ["delivered"],
        },
    ),
    Case(
        provider="cellcast",
        path="/api/v3/send-sms",
        headers={"appkey": KEY},
        request=lambda to: {"json": {"sms_text": "Hello", "numbers": [f"+{to}"], "custom_string": "ord-7"}},
        word=lambda body: (body[0] if isinstance(body, list) else body)["status"],
        took=lambda answer: answer.json()["meta"]["status"] == "SUCCESS",
        accepted=200,
        unauthorized=401,
        refused=400,
        throttled=429,
        words={
            "delivered": ["Delivered"],
            "expired": ["Expired"],
            "failed": ["Failed"],
            "rejected": ["Rejected"],
            "aborted": ["Aborted"],
            "no_receipt": ["Unknown"],
            "unknown": ["Teleported"],
            "lost": [],
            "silent": [],
            "bare": ["Delivered"],
        },
        to=THEIR_MOBILE,
        echoes="custom_string",
    ),
    Case(
        provider="cellcast_v1",
        path="/api/v1/gateway",
        headers={"authorization": f"Bearer {KEY}"},
        request=lambda to: {"json": {"message": "Hello", "contacts": [f"+{to}"]}},
        word=lambda body: body["status"],
        took=lambda answer: answer.json()["status"] is True,
        accepted=200,
        unauthorized=401,
        refused=200,
        throttled=429,
        words={
            "delivered": ["delivered"],
            "sent_then_delivered": ["sent", "delivered"],
            "lost": [],
            "unknown": ["teleported"],
            "expired": ["expired"],
            "failed": ["failed"],
            "rejected": ["rejected"],
            "dead": ["dead"],
            "received": ["received"],
            "misspelt": ["delievered"],
        },
        to=THEIR_MOBILE,
    ),
    Case(
        provider="voicetel",
        path="/v2/sms/",
        headers={},
        request=lambda to: {
            "data": {"apikey": KEY, "source": US[1:], "destination": to[1:], "messageText": "Hello"}
        },
        word=_stat,
        took=lambda answer: answer.json()["status"] == "Success",
        accepted=200,
        unauthorized=401,
        refused=406,
        throttled=422,
        words={
            "delivered": ["DELIVRD"],
            "sent_then_delivered": ["ACCEPTD", "DELIVRD"],
            "lost": [],
            "unknown": ["TELEPRT"],
            "expired": ["EXPIRED"],
            "failed": ["UNDELIV"],
            "rejected": ["REJECTD"],
            "deleted": ["DELETED"],
            "no_receipt": ["UNKNOWN"],
        },
    ),
    Case(
        provider="voicetel",
        path="/v2.2/messages",
        headers={"authorization": f"Bearer {KEY}"},
        request=lambda to: {"json": {"fromNumber": US[1:], "toNumber": to[1:], "text": "Hello"}},
        word=lambda body: body["status"],
        took=lambda answer: answer.json()["status"] == "success",
        accepted=201,
        unauthorized=401,
        refused=409,
        throttled=429,
        words={
            "delivered": ["delivered"],
            "sent_then_delivered": ["sent", "delivered"],
            "lost": [],
            "unknown": ["teleported"],
            "expired": ["expired"],
            "failed": ["failed"],
            "rejected": ["rejected"],
            "deleted": ["deleted"],
            "no_receipt": ["unknown"],
        },
        account={"api": "2.2", "shape": "names"},
    ),
]
