"""What the Swift API accepts as a send, and the error code that it puts into each result otherwise.

https://swift-sms-2-0-docs.pages.dev/api/messaging/{mms, sms} and /appendix/error-codes. Which code goes
with which mistake is not documented; neither is the body of 401 and 429.
"""

import base64
import binascii
import re
from datetime import UTC, datetime
from typing import Any

import orjson

Fields = dict[str, Any]


class Refused(Exception):
    """The whole call fails with *code* in every result."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def read(body: bytes | None) -> Fields:
    """The fields of a request. Raises ``Refused``."""
    try:
        fields = orjson.loads(body or b"")
    except orjson.JSONDecodeError:
        raise Refused("BAD_MESSAGE") from None
    _demand(isinstance(fields, dict))
    return dict(fields)


def check(fields: Fields, kind: str) -> None:
    """Holds *fields* against what the page of *kind*, SMS or MMS, says. Raises ``Refused``."""
    to = fields.get("to")
    _demand(isinstance(to, list) and bool(to) and all(isinstance(number, str) for number in to))
    sender = fields.get("from")
    _demand(sender is None or (isinstance(sender, str) and is_number(sender)), "HOST_DID_NOT_FOUND")
    _demand(isinstance(fields.get("id") or "", str))
    _demand(isinstance(fields.get("request_dlr") or False, bool))
    media = fields.get("media") or []
    _demand(isinstance(media, list) and (kind == "MMS" or not media))
    # its own example carries both; the text beside it forbids it
    _demand(not (media and fields.get("body")))
    for part in media:
        _check_part(part)
    body = fields.get("body")
    _demand(bool(media) or (isinstance(body, str) and 1 <= len(body) <= 4096))
    _check_expiry(fields.get("expires_at"))


def is_number(number: str) -> bool:
    return bool(re.fullmatch(r"\+?[1-9][0-9]{6,14}", number))


def _check_part(part: Any) -> None:
    _demand(isinstance(part, dict))
    # the only type that is printed anywhere; what one with an address is called is not known
    _demand(part.get("type", "BLOB") == "BLOB", "UNSUPPORTED_FORMAT")
    _demand(isinstance(part.get("content_type"), str) and "/" in part["content_type"], "UNSUPPORTED_FORMAT")
    try:
        _demand(bool(base64.b64decode(part.get("blob") or "", validate=True)))
    except (binascii.Error, ValueError, TypeError):
        raise Refused("BAD_MESSAGE") from None


def _check_expiry(value: Any) -> None:
    if value is None:
        return
    try:
        time = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise Refused("BAD_MESSAGE") from None
    _demand((time if time.tzinfo else time.replace(tzinfo=UTC)) > datetime.now(UTC), "EXPIRED")


def _demand(held: bool, code: str = "BAD_MESSAGE") -> None:
    if not held:
        raise Refused(code)
