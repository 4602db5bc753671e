"""What a send becomes for Swift API: the fields of its request, and the limits that it may break.

https://swift-sms-2-0-docs.pages.dev/api/messaging/sms and https://swift-sms-2-0-docs.pages.dev/api/messaging/mms
"""

from base64 import b64encode
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from models.sends import OutgoingMedia, Problem, Submission
from receiver.providers import reading

LONGEST_TEXT = 4096
REQUEST_DLR = "request_dlr"


def is_mms(submission: Submission) -> bool:
    return submission.kind == "mms" or bool(submission.media)


def fields(submission: Submission) -> dict[str, Any]:
    """The JSON that makes the carrier do what a checked *submission* says."""
    recipients = submission.recipients or (submission.recipient or "",)
    named = {
        "body": submission.text,
        "expires_at": submission.expires_at and _written(submission.expires_at),
        "from": submission.sender and _digits(submission.sender),
        "id": submission.wire_reference,
        "media": [_file(place, file) for place, file in enumerate(submission.media, 1)],
        # without it no delivery report ever comes
        REQUEST_DLR: submission.options.get(REQUEST_DLR, True),
        "to": [_digits(number) for number in recipients],
    }
    return {name: value for name, value in named.items() if value or value is False}


def problems(submission: Submission) -> Iterator[Problem]:
    """Every limit that *submission* breaks."""
    yield from recipient_problems(submission)
    if submission.sender and not _digits(submission.sender).isdecimal():
        yield Problem("/from", "Swift sends from a phone number in E.164 form; this is none")
    yield from _text_problems(submission)
    for pointer, value, what in (
        ("/subject", submission.subject, "an MMS has no subject"),
        ("/fallback_text", submission.fallback_text, "an MMS has no fallback SMS"),
        ("/template_id", submission.provider_template_id, "no messages are stored"),
    ):
        if value:
            yield Problem(pointer, f"with Swift {what}")
    yield from _option_problems(submission)


def recipient_problems(submission: Submission) -> Iterator[Problem]:
    """The limits that the recipient of *submission* breaks."""
    recipients = submission.recipients or (submission.recipient or "",)
    if not all(number.startswith("+") for number in recipients):
        yield Problem("/to", "Swift sends to a phone number in E.164 form; this is none")


def _text_problems(submission: Submission) -> Iterator[Problem]:
    said = submission.text or ""
    if said and submission.media:
        detail = "Swift takes a text or media in one MMS, not both; send the text as a message of its own"
        yield Problem("/text", detail)
    elif not said and not submission.media:
        needed = "a text or media" if is_mms(submission) else "a text"
        yield Problem("/text", f"Swift needs {needed}")
    if len(said) > LONGEST_TEXT:
        detail = f"Swift takes at most {LONGEST_TEXT} characters of text; this message has {len(said)}"
        yield Problem("/text", detail, code="content_too_large")


def _option_problems(submission: Submission) -> Iterator[Problem]:
    for name, value in submission.options.items():
        pointer = "/options/" + name.replace("~", "~0").replace("/", "~1")
        if name != REQUEST_DLR:
            yield Problem(pointer, f"Swift knows the option {REQUEST_DLR}", code="unknown_field")
        elif not isinstance(value, bool):
            yield Problem(pointer, "must be true or false")


def _file(place: int, file: OutgoingMedia) -> dict[str, str]:
    made = {
        "content_type": file.content_type or reading.content_type(file.url) or "application/octet-stream",
        "id": f"media-{place}",
    }
    if file.content is None:
        return made | {"type": "URL", "url": file.url}
    return made | {"type": "BLOB", "blob": b64encode(file.content).decode()}


def _digits(number: str) -> str:
    """A number as the carrier's pages write it; it strips the plus sign itself where there is one."""
    return number.removeprefix("+")


def _written(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
