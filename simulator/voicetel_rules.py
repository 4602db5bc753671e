"""What VoiceTel's v2 and v2.2 accept, and how they refuse.

v2: the fields of www.voicetel.com/api/SMS.html; it documents no errors, so they are those of v2.1. v2.2: its
OpenAPI description, https://voicetel.com/docs/api/v2.2/.
"""

import re
from collections.abc import Mapping
from typing import Any

import orjson

from simulator.practice import Answer

Fields = dict[str, Any]

#: HTTP status -> the text beside it
ERRORS = {
    400: "Field Required",
    401: "Unauthorized",
    402: "Payment required",
    403: "Source number not on account",
    405: "SMS not enabled",
    406: "Destination has opted out",
    409: "Messaging is not enabled, or the recipient has opted out",
    422: "Queue is full",
    429: "Too many requests",
}


class Refused(Exception):
    """The carrier refuses with an HTTP *status*."""

    def __init__(self, status: int, text: str = "") -> None:
        super().__init__(text)
        self.status, self.text = status, text


def check_v2(fields: Mapping[str, Any], *, mms: bool) -> None:
    """Raises ``Refused``."""
    for name in ("source", "destination"):
        _demand(bool(re.fullmatch(r"[0-9]{10}", str(fields.get(name) or ""))), name)
    text = fields.get("messageText")
    _demand(isinstance(text, str) and len(text) <= 160 and (mms or bool(text)), "messageText")
    if mms:
        _demand(str(fields.get("mmsURL") or "").startswith(("http://", "https://")), "mmsURL")
        _demand(len(str(fields.get("mmsSubject") or "")) <= 40, "mmsSubject")


def read_v22(body: bytes | None) -> Fields:
    """The fields of a request. Raises ``Refused``."""
    try:
        fields = orjson.loads(body or b"")
    except orjson.JSONDecodeError:
        raise Refused(400, "The body is not JSON") from None
    _demand(isinstance(fields, dict), "body")
    for name in ("fromNumber", "toNumber"):
        number = fields.get(name)
        _demand(
            isinstance(number, str) and bool(re.fullmatch(r"[2-9][0-9]{2}[2-9][0-9]{2}[0-9]{4}", number)),
            name,
        )
    _demand(isinstance(fields.get("text"), str), "text")
    urls = fields.get("mediaUrls", [])
    _demand(isinstance(urls, list) and all(str(url).startswith("http") for url in urls), "mediaUrls")
    _demand(bool(fields["text"] or urls), "text")
    _demand(isinstance(fields.get("subject", ""), str), "subject")
    return dict(fields)


def refusal_v2(status: int, text: str = "") -> Answer:
    text = text or ERRORS.get(status, "As ordered")
    return Answer({"statusCode": str(status), "status": "Error", "message": text}, status)


def refusal_v22(status: int, text: str = "") -> Answer:
    text = text or ERRORS.get(status, "As ordered")
    return Answer({"status": "error", "error": {"code": status, "message": text}}, status)


def ordered_v2(answer: str) -> Answer:
    return refusal_v2(422 if answer == "throttled" else 406)


def ordered_v22(answer: str) -> Answer:
    return refusal_v22(429 if answer == "throttled" else 409)


def _demand(held: bool, name: str) -> None:
    if not held:
        raise Refused(400, f"Field Required: {name}")
