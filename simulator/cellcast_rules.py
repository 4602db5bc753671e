"""What the Cellcast v3 API accepts, and the ``meta.status`` that it refuses everything else with.

https://support.cellcast.com.au/docs/docly-documentation/api/sms-restful-api-details/ and the MMS page
beside it. Where the pages give a limit without a word of its own, it is FIELD_INVALID.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson

from simulator.forms import File
from simulator.practice import Answer

#: meta.status -> the HTTP status of the answer and the text beside it
ERRORS = {
    "AUTH_FAILED_NO_DATA": (401, "There is no APPKEY in the request"),
    "AUTH_FAILED": (401, "The APPKEY is not valid"),
    "FIELD_EMPTY": (400, "A required field is missing"),
    "FIELD_INVALID": (400, "A field has a value that is not allowed"),
    "RECIPIENTS_ERROR": (400, "There is no valid recipient"),
    "NOT_FOUND": (400, "There is no such record"),
    "OVER_LIMIT": (429, "Too many calls in this second"),
}

#: the alphabet of GSM 03.38, with what takes two places of it behind the bar
_GSM = set(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿"
    "abcdefghijklmnopqrstuvwxyzäöñüà|^€{}[~]\\"
)
_IMAGES = ("image/png", "image/gif", "image/jpeg", "image/jpg")

Fields = dict[str, Any]


class Refused(Exception):
    """The carrier refuses with *status*, a word of ``ERRORS``."""

    def __init__(self, status: str) -> None:
        super().__init__(status)
        self.status = status


def read(body: bytes | None) -> Fields:
    """The fields of a JSON request. Raises ``Refused``."""
    try:
        fields = orjson.loads(body or b"")
    except orjson.JSONDecodeError:
        raise Refused("FIELD_INVALID") from None
    _demand(isinstance(fields, dict))
    return dict(fields)


def check_sms(fields: Fields) -> None:
    """Everything but the numbers. Raises ``Refused``."""
    text = fields.get("sms_text")
    _demand(bool(text) and bool(fields.get("numbers")), "FIELD_EMPTY")
    _demand(isinstance(text, str) and len(text) <= (918 if set(text) <= _GSM else 402))
    _demand(_matches(fields.get("from"), r"[0-9]{1,16}|[A-Za-z0-9 -]{1,11}"))
    _demand(_matches(fields.get("custom_string"), r"[A-Za-z0-9-]*"))
    delay = fields.get("delay") or 1
    _demand(_matches(str(delay), r"[0-9]+") and 1 <= int(delay) <= 1440)
    try:
        datetime.strptime(fields.get("schedule_time") or "2026-01-01 00:00:00", "%Y-%m-%d %H:%M:%S")  # noqa: DTZ007
    except (TypeError, ValueError):
        raise Refused("FIELD_INVALID") from None


def check_mms(form: Mapping[str, str | File]) -> Fields:
    """The fields of an MMS in the names of an SMS; ``numbers`` is JSON inside a field. Raises ``Refused``."""
    text, numbers, file = form.get("mms_text"), form.get("numbers"), form.get("mms_file")
    _demand(bool(text) and bool(numbers), "FIELD_EMPTY")
    _demand(isinstance(file, File), "FIELD_EMPTY")
    if isinstance(file, File):
        _demand(file.content_type in _IMAGES and 0 < len(file.content) <= 380_000)
    try:
        listed = orjson.loads(numbers if isinstance(numbers, str) else b"")
    except orjson.JSONDecodeError:
        raise Refused("FIELD_INVALID") from None
    return {"sms_text": text, "subject": form.get("subject", ""), "numbers": listed}


def recipients(fields: Fields) -> list[str]:
    """The valid numbers in the form +614NNNNNNNN; the others are left out. Raises ``Refused``."""
    given = fields["numbers"]
    _demand(isinstance(given, list) and len(given) <= 1000)
    local = [str(number).replace(" ", "").removeprefix("+") for number in given]
    valid = [
        re.sub(r"^(0|61)", "+61", number) for number in local if re.fullmatch(r"(0|61)4[0-9]{8}", number)
    ]
    _demand(bool(valid), "RECIPIENTS_ERROR")
    return list(dict.fromkeys(valid))


def envelope(data: Any, text: str) -> Answer:
    return Answer({"meta": {"code": 200, "status": "SUCCESS"}, "msg": text, "data": data})


def failure(status: str) -> Answer:
    status = {"refused": "RECIPIENTS_ERROR", "throttled": "OVER_LIMIT"}.get(status, status)
    code, text = ERRORS.get(status, (400, "As ordered"))
    return Answer({"meta": {"code": code, "status": status}, "msg": text, "data": []}, code)


def _matches(value: Any, pattern: str) -> bool:
    return value in (None, "") or (isinstance(value, str) and bool(re.fullmatch(pattern, value)))


def _demand(held: bool, status: str = "FIELD_INVALID") -> None:
    if not held:
        raise Refused(status)
