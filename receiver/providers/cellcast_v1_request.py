"""What a send becomes for Cellcast's API v1: JSON for the gateway, a form for that of MMS; and limits.

https://developer.cellcast.com/api-docs/sms.html and https://developer.cellcast.com/api-docs/mms.html
"""

import re
from collections.abc import Iterator
from datetime import UTC
from typing import Any

import orjson

from models.sends import Problem, Submission
from receiver.providers import checks, multipart, reading
from receiver.providers.cellcast_common import numbers, sender, sender_problems, upload

CARRIER = "Cellcast v1"
COUNTRY_CODE = 61
LARGEST_FILE = 230 * 1024
LONGEST_DELAY = 86_400_000
UPLOADED = {"image/jpeg": "jpg", "image/jpg": "jpg", "image/png": "png"}
GIF = {"image/gif": "gif"}
SENDER_TYPES = ("customNumber", "businessName", "dedicatedNumber", "#SharedNum#")

_AUSTRALIAN = re.compile(r"\+61[0-9]{9}")
_SHORT_NAME = re.compile(r"[A-Za-z0-9]{3,}")


def sms(submission: Submission) -> bytes:
    """The JSON of the gateway. Without a sender the carrier takes one of its shared numbers."""
    fields = {
        "message": submission.text,
        "contacts": numbers(submission),
        "sender": sender(submission.sender),
        "countryCode": COUNTRY_CODE,
    }
    made = {name: value for name, value in fields.items() if value}
    return orjson.dumps(made | {name: _written(name, value) for name, value in submission.options.items()})


def mms(submission: Submission, boundary: str) -> bytes:
    """The form of the MMS gateway. A GIF goes by its address, every other file itself."""
    file = submission.media[0]
    by_address = checks.plain_type(file) in GIF
    fields: dict[str, str | multipart.Upload] = {
        "message": submission.text or "",
        "contacts": orjson.dumps(numbers(submission)).decode(),
        "gif" if by_address else "media": file.url if by_address else upload(file, UPLOADED),
        "countryCode": str(COUNTRY_CODE),
    }
    if submission.sender:
        fields["sender"] = sender(submission.sender) or ""
    return multipart.encoded(boundary, fields)


def problems(submission: Submission) -> list[Problem]:
    """Every limit that *submission* breaks, but those that need a clock. No page limits the text."""
    known = _OPTIONS if submission.kind == "sms" else _COUNTRY
    return [
        *recipient_problems(submission),
        *sender_problems(CARRIER, submission.sender),
        *([] if submission.text else [Problem("/text", f"{CARRIER} needs a text")]),
        *checks.not_taken(CARRIER, "/subject", "subject", submission.subject),
        *(_file_problems(submission) if submission.kind == "mms" else []),
        *checks.not_taken(CARRIER, "/fallback_text", "fallback text", submission.fallback_text),
        *checks.not_taken(CARRIER, "/expires_at", "expiry", submission.expires_at),
        *checks.options(CARRIER, submission.options, known),
    ]


def recipient_problems(submission: Submission) -> Iterator[Problem]:
    """The limits that the recipient of *submission* breaks."""
    if not _AUSTRALIAN.fullmatch(submission.recipient or ""):
        yield Problem("/to", f"{CARRIER} sends to Australian numbers: +{COUNTRY_CODE} and 9 digits")


def _file_problems(submission: Submission) -> Iterator[Problem]:
    gif = any(checks.plain_type(file) in GIF for file in submission.media)
    # a GIF is fetched by the carrier, and no page says how large it may be
    most = max((file.size or 0 for file in submission.media), default=0) if gif else LARGEST_FILE
    yield from checks.one_file(CARRIER, submission.media, UPLOADED | GIF, most)


def _written(name: str, value: Any) -> Any:
    """The page shows an RFC 3339 time with milliseconds, in UTC."""
    time = reading.moment(value) if name == "scheduleAt" else None
    if time is None:
        return value
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _is_links(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(link, dict)
        and link.keys() == {"longUrl", "shortUrl"}
        and isinstance(link["longUrl"], str)
        and isinstance(link["shortUrl"], str)
        and bool(_SHORT_NAME.fullmatch(link["shortUrl"]))
        for link in value
    )


_COUNTRY: checks.Options = {"countryCode": (f"{COUNTRY_CODE}", lambda value: value in (61, "61"))}
_OPTIONS: checks.Options = {
    **_COUNTRY,
    "senderType": (f"one of {', '.join(SENDER_TYPES)}", lambda value: value in SENDER_TYPES),
    "longUrl": ("a list of objects with longUrl and a shortUrl of 3 letters and digits or more", _is_links),
    "scheduleAt": ("an RFC 3339 time", lambda value: reading.moment(value) is not None),
    "delay": (
        f"milliseconds from 1 to {LONGEST_DELAY}",
        lambda value: type(value) is int and 1 <= value <= LONGEST_DELAY,
    ),
    "replyStopToOptOut": ("true or false", lambda value: isinstance(value, bool)),
}
