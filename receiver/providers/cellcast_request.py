"""What a send becomes for Cellcast's API v3: JSON for an SMS, a form with the file for an MMS; and limits.

The limits are those of the pages on send-sms and send-mms, the latter's list of errors included:
https://support.cellcast.com.au/docs/docly-documentation/api/send-an-mms-with-cellcast-restful-api/send-an-mms-with-cellcast-api
"""

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import orjson

from models.sends import Problem, Submission
from receiver import segments
from receiver.providers import checks, multipart
from receiver.providers.cellcast_common import numbers, sender, sender_problems, upload

CARRIER = "Cellcast"
MOST_PARTS = 6
LONGEST_MMS_TEXT, LONGEST_SUBJECT, LARGEST_FILE = 1000, 40, 380 * 1024
LONGEST_DELAY = 1440
FILE_TYPES = {"image/png": "png", "image/gif": "gif", "image/jpeg": "jpg", "image/jpg": "jpg"}

_MOBILE = re.compile(r"\+614[0-9]{8}")
_TAG = re.compile(r"[A-Za-z0-9-]+")


def sms(submission: Submission) -> bytes:
    """The JSON of send-sms. Our id travels as ``custom_string``, which takes letters, digits and dashes."""
    fields = {
        "sms_text": submission.text,
        "numbers": numbers(submission),
        "from": sender(submission.sender),
        "custom_string": submission.wire_reference,
    }
    made = {name: value for name, value in fields.items() if value}
    return orjson.dumps(made | dict(submission.options))


def mms(submission: Submission, boundary: str) -> bytes:
    """The form of send-mms; it has no field for a sender, nor for a reference of ours."""
    fields: dict[str, str | multipart.Upload] = {
        "mms_text": submission.text or "",
        "numbers": orjson.dumps(numbers(submission)).decode(),
        "mms_file": upload(submission.media[0], FILE_TYPES),
    }
    if submission.subject:
        fields["subject"] = submission.subject
    return multipart.encoded(boundary, fields)


def problems(submission: Submission) -> list[Problem]:
    """Every limit that *submission* breaks."""
    return [
        *recipient_problems(submission),
        *sender_problems(CARRIER, submission.sender),
        *(_mms_problems(submission) if submission.kind == "mms" else _sms_problems(submission)),
        *_reference_problems(submission.reference),
        *checks.not_taken(CARRIER, "/fallback_text", "fallback text", submission.fallback_text),
        *checks.not_taken(CARRIER, "/expires_at", "expiry", submission.expires_at),
        # send-mms has none of the optional fields of send-sms
        *checks.options(CARRIER, submission.options, _OPTIONS if submission.kind == "sms" else {}),
    ]


def recipient_problems(submission: Submission) -> Iterator[Problem]:
    """The limits that the recipient of *submission* breaks."""
    if not _MOBILE.fullmatch(submission.recipient or ""):
        yield Problem("/to", f"{CARRIER} sends to Australian mobile numbers: +614 and 8 digits")


def _reference_problems(reference: str | None) -> Iterator[Problem]:
    if reference is not None and not _TAG.fullmatch(reference):
        detail = f"{CARRIER} takes letters, digits and dashes as custom_string, which this goes out as"
        yield Problem("/client_reference", detail)


def _sms_problems(submission: Submission) -> Iterator[Problem]:
    said = submission.text or ""
    if not said:
        yield Problem("/text", f"{CARRIER} needs a text")
    yield from checks.too_long(
        CARRIER,
        "/text",
        "parts of an SMS (918 characters, or 402 of Unicode)",
        MOST_PARTS,
        segments.count(said),
    )


def _mms_problems(submission: Submission) -> Iterator[Problem]:
    if not submission.text:
        yield Problem("/text", f"{CARRIER} needs a text with an MMS")
    yield from checks.too_long(
        CARRIER, "/text", "characters of MMS text", LONGEST_MMS_TEXT, len(submission.text or "")
    )
    yield from checks.too_long(
        CARRIER, "/subject", "characters of subject", LONGEST_SUBJECT, len(submission.subject or "")
    )
    yield from checks.one_file(CARRIER, submission.media, FILE_TYPES, LARGEST_FILE)


def _is_local_time(value: Any) -> bool:
    try:
        return bool(value == datetime.strptime(value, "%Y-%m-%d %H:%M:%S").isoformat(" "))  # noqa: DTZ007
    except (TypeError, ValueError):
        return False


# schedule_time stays as the caller wrote it: in which zone Cellcast reads it is not documented
_OPTIONS: checks.Options = {
    "source": (
        "a tag of letters, digits and dashes",
        lambda value: isinstance(value, str) and bool(_TAG.fullmatch(value)),
    ),
    "schedule_time": ("a time like 2026-11-21 09:00:00", _is_local_time),
    "delay": (
        f"minutes from 1 to {LONGEST_DELAY}",
        lambda value: type(value) is int and 1 <= value <= LONGEST_DELAY,
    ),
}
