"""What the Sinch SMS REST API accepts as a batch, and what it refuses everything else with.

https://developers.sinch.com/docs/sms/api-reference/sms/tag/Batches/; codes and their HTTP statuses:
the "Errors" part of Sinch's SMS guide. 401, 415 and 429 have no documented body.
"""

import base64
import binascii
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

TYPES = ("mt_text", "mt_binary", "mt_media")
REPORT_TYPES = ("none", "summary", "full", "per_recipient", "per_recipient_final")

CONSTRAINT = "syntax_constraint_violation"
FORMAT = "syntax_invalid_parameter_format"

#: the longest that an expiry may lie ahead of the send
LONGEST_EXPIRY = timedelta(days=3)

#: code -> the HTTP status that goes with it
FORBIDDEN = frozenset({"unknown_group", "missing_callback_url", "illegal_number_type", "blocked_account"})

Fields = dict[str, Any]


class Refused(Exception):
    """The carrier refuses: HTTP *status*, and a *code* where the body has one."""

    def __init__(self, code: str, text: str = "", status: int = 0) -> None:
        super().__init__(code)
        self.code, self.text = code, text
        self.status = status or (403 if code in FORBIDDEN else 400)


def read(content_type: str, body: bytes | None) -> Fields:
    """The fields of a request. Raises ``Refused``."""
    if content_type.partition(";")[0].strip().lower() != "application/json":
        raise Refused("", status=415)
    try:
        fields = orjson.loads(body or b"")
    except orjson.JSONDecodeError as error:
        raise Refused("syntax_invalid_json", str(error)) from None
    _demand(isinstance(fields, dict), FORMAT, "the body must be an object")
    return dict(fields)


def check(fields: Fields, has_callback_url: bool) -> None:
    """Holds *fields* against everything documented. Raises ``Refused``."""
    recipients(fields)
    _demand(fields.get("type", "mt_text") in TYPES, CONSTRAINT, "type")
    # an account may have a default originator, so that "from" is optional
    _demand(_is_text(fields.get("from", "-"), 32), FORMAT, "from")
    {"mt_text": _check_text, "mt_binary": _check_binary, "mt_media": _check_media}[
        fields.get("type", "mt_text")
    ](fields)
    _demand(_is_text(fields.get("client_reference", "-"), 2048), CONSTRAINT, "client_reference")
    _demand(_is_text(fields.get("callback_url", "-"), 2048), CONSTRAINT, "callback_url")
    for name in ("feedback_enabled", "flash_message", "truncate_concat", "strict_validation"):
        _demand(isinstance(fields.get(name, False), bool), FORMAT, name)
    _check_times(fields)
    wanted = fields.get("delivery_report", "none")
    _demand(wanted in REPORT_TYPES, CONSTRAINT, "delivery_report")
    _demand(wanted == "none" or has_callback_url, "missing_callback_url", "there is no URL to report to")


def recipients(fields: Fields) -> list[str]:
    """The numbers of a batch: the API takes plus signs, a leading 00 and spaces away. Raises ``Refused``."""
    given = fields.get("to")
    _demand(isinstance(given, list) and 1 <= len(given) <= 1000, CONSTRAINT, "to must have 1 to 1000 entries")
    numbers = []
    for entry in given or []:
        bare = re.sub(r"^\+|^00|\s", "", entry) if isinstance(entry, str) else ""
        if re.fullmatch(r"(?=.*[A-Za-z])[A-Za-z0-9]{20,}", bare):
            raise Refused("unknown_group", f"there is no group {bare}")
        _demand(bool(re.fullmatch(r"[1-9][0-9]{4,14}", bare)), FORMAT, f"'{entry}' is not a valid identifier")
        numbers.append(bare)
    return list(dict.fromkeys(numbers))


def _check_text(fields: Fields) -> None:
    _demand(_is_text(fields.get("body"), 2000), CONSTRAINT, "body must be 1 to 2000 characters")


def _check_binary(fields: Fields) -> None:
    try:
        content = base64.b64decode(fields.get("body") or "", validate=True)
        header = bytes.fromhex(fields.get("udh") or "")
    except (binascii.Error, ValueError, TypeError):
        raise Refused(FORMAT, "body is base64, udh is hex") from None
    _demand(bool(header) and len(content) + len(header) <= 140, CONSTRAINT, "body and udh: 140 bytes at most")


def _check_media(fields: Fields) -> None:
    body = fields.get("body")
    _demand(isinstance(body, dict), FORMAT, "the body of mt_media is an object")
    url = body.get("url") if isinstance(body, dict) else None
    _demand(_is_text(url, 2048) and str(url).startswith("http"), CONSTRAINT, "body.url")
    for name in ("message", "subject"):
        _demand(_is_text((body or {}).get(name, "-"), 5000), FORMAT, f"body.{name}")


def _check_times(fields: Fields) -> None:
    begins = _time(fields, "send_at") or datetime.now(UTC)
    ends = _time(fields, "expire_at")
    _demand(
        ends is None or begins < ends <= begins + LONGEST_EXPIRY + timedelta(minutes=1),
        CONSTRAINT,
        "expire_at",
    )


def _time(fields: Fields, name: str) -> datetime | None:
    if fields.get(name) is None:
        return None
    try:
        time = datetime.fromisoformat(fields[name])
    except (TypeError, ValueError):
        raise Refused(FORMAT, name) from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _is_text(value: Any, longest: int) -> bool:
    return isinstance(value, str) and 1 <= len(value) <= longest


def _demand(held: bool, code: str, text: str) -> None:
    if not held:
        raise Refused(code, text)
