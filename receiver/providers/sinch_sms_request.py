"""What a send becomes for the Sinch SMS REST API: the fields of its batch, and the limits that it may break.

https://developers.sinch.com/docs/sms/api-reference/sms/batches; for MMS
https://developers.sinch.com/docs/sms/api-reference/mms-support.
"""

import base64
import binascii
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from models.sends import Problem, Submission
from receiver.config import ChannelSettings
from receiver.providers import checks, reading
from receiver.providers.base import CALLBACK_KEY

CARRIER = "Sinch SMS"
TEXT, BINARY, MEDIA = "mt_text", "mt_binary", "mt_media"
LONGEST_TEXT, LONGEST_URL, MOST_BYTES, MOST_FILES = 2000, 2048, 140, 1
#: the calling codes of the USA, Canada and Puerto Rico, and of Australia: no MMS goes anywhere else
MMS_COUNTRIES = ("+1", "+61")

_PARAMETER = re.compile(r"[A-Za-z0-9._-]+")


def fields(submission: Submission, channel: ChannelSettings) -> dict[str, Any]:
    """The JSON that makes the carrier do what a checked *submission* says."""
    # a version before this one took other options too, and sends of then may still be queued
    options = [(name, value) for name, value in submission.options.items() if name in _OPTIONS]
    named = {
        "type": _type(submission),
        "to": [_digits(recipient) for recipient in _recipients(submission)],
        "from": _digits(submission.sender or ""),
        "body": _body(submission),
        # at every change of status; the other kinds of report come once, at the end
        "delivery_report": "per_recipient",
        "client_reference": submission.wire_reference,
        "expire_at": submission.expires_at and _written(submission.expires_at),
        "callback_url": channel.option(CALLBACK_KEY),
    }
    made = {name: value for name, value in named.items() if value}
    return made | {name: _on_the_wire(name, value) for name, value in options}


def misconfigured(channel: ChannelSettings) -> str | None:
    """Returns what is wrong with the keys of *channel*, in a sentence that names the key; None if nothing."""
    url = channel.option(CALLBACK_KEY)
    if not url or (url.startswith(("http://", "https://")) and len(url) <= LONGEST_URL):
        return None
    return f"callback_url must be a URL of at most {LONGEST_URL} characters; change it or leave it out."


def problems(submission: Submission, channel: ChannelSettings) -> list[Problem]:
    """Every limit that *submission* breaks, but those that need a clock."""
    return [
        *recipient_problems(submission),
        *_content_problems(submission),
        *_expiry_problems(submission),
        *_option_problems(submission, channel),
    ]


def _type(submission: Submission) -> str:
    if submission.media or submission.subject:
        return MEDIA
    return BINARY if "udh" in submission.options else TEXT


def _recipients(submission: Submission) -> tuple[str, ...]:
    return tuple(submission.recipients) or (submission.recipient or "",)


def _body(submission: Submission) -> Any:
    if _type(submission) != MEDIA:
        return submission.text
    named = {"url": submission.media[0].url, "message": submission.text, "subject": submission.subject}
    return {name: value for name, value in named.items() if value}


def _digits(number: str) -> str:
    """A number as Sinch writes it in its reports."""
    return number.removeprefix("+")


def _written(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def recipient_problems(submission: Submission) -> Iterator[Problem]:
    """The limits that the recipient of *submission* breaks."""
    recipients = _recipients(submission)
    if not all(recipient.startswith("+") for recipient in recipients):
        yield Problem("/to", f"{CARRIER} sends to a phone number with its country code")
    elif _type(submission) == MEDIA and not all(r.startswith(MMS_COUNTRIES) for r in recipients):
        detail = f"{CARRIER} sends media and subjects to the USA, Canada, Puerto Rico and Australia only"
        yield Problem("/to", detail)


def _content_problems(submission: Submission) -> Iterator[Problem]:
    said, files, kind = submission.text or "", len(submission.media), _type(submission)
    yield from checks.not_taken(CARRIER, "/fallback_text", "text to fall back to", submission.fallback_text)
    stored = submission.provider_template_id is not None
    yield from checks.not_taken(CARRIER, "/template_id", "stored messages", stored)
    if kind == MEDIA:
        if not files:
            yield Problem("/media", f"{CARRIER} sends a subject only beside a file")
        yield from checks.too_long(CARRIER, "/media", "files", MOST_FILES, files)
    elif not said:
        yield Problem("/text", f"{CARRIER} needs a text or a file")
    elif kind == BINARY:
        yield from _binary_problems(said, submission.options["udh"])
    else:
        yield from checks.too_long(CARRIER, "/text", "characters of text", LONGEST_TEXT, len(said))


def _binary_problems(said: str, udh: Any) -> Iterator[Problem]:
    try:
        size = len(base64.b64decode(said, validate=True)) + len(_bytes(udh) or b"")
    except (binascii.Error, ValueError):
        yield Problem("/text", "must be base64 beside options.udh, which makes a binary message of it")
        return
    what = "bytes of text and options.udh together"
    yield from checks.too_long(CARRIER, "/text", what, MOST_BYTES, size)


def _expiry_problems(submission: Submission) -> Iterator[Problem]:
    send_at = reading.moment(submission.options.get("send_at"))
    if send_at and submission.expires_at and submission.expires_at <= send_at:
        yield Problem("/expires_at", f"{CARRIER} wants it after options.send_at")


def _option_problems(submission: Submission, channel: ChannelSettings) -> Iterator[Problem]:
    given = dict(submission.options)
    if CALLBACK_KEY in given:
        del given[CALLBACK_KEY]
        setting = f"channels.{channel.name}.{CALLBACK_KEY}"
        detail = f"the operator says where reports go, in the setting {setting}"
        yield Problem(f"/options/{CALLBACK_KEY}", detail)
    yield from checks.options(CARRIER, given, _OPTIONS)
    kind = _type(submission)
    for name in given:
        types = _TYPES.get(name, (kind,))
        if kind not in types:
            yield Problem(
                f"/options/{name}", f"{CARRIER} takes it with {' and '.join(types)}; this is {kind}"
            )


def _bytes(value: Any) -> bytes | None:
    """The bytes that *value* writes in hexadecimal digits, None if it does not."""
    if not isinstance(value, str) or not re.fullmatch(r"([0-9A-Fa-f]{2})+", value):
        return None
    return bytes.fromhex(value)


def _between(least: int, most: int) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _is_boolean(value: Any) -> bool:
    return isinstance(value, bool)


def _is_parameters(value: Any) -> bool:
    return isinstance(value, dict) and all(
        _PARAMETER.fullmatch(name)
        and isinstance(texts, dict)
        and all(isinstance(said, str) for said in texts.values())
        for name, texts in value.items()
    )


def _on_the_wire(name: str, value: Any) -> Any:
    if name == "send_at" and (time := reading.moment(value)):
        return _written(time)
    if name == "parameters":
        return {
            key: {_digits(recipient): said for recipient, said in texts.items()}
            for key, texts in value.items()
        }
    return value


_FLAG, _OCTET = ("true or false", _is_boolean), ("a whole number from 0 to 255", _between(0, 255))
_OPTIONS: checks.Options = {
    "send_at": ("an RFC 3339 time", lambda value: reading.moment(value) is not None),
    "feedback_enabled": _FLAG,
    "flash_message": _FLAG,
    "truncate_concat": _FLAG,
    # the header of a part has one octet for the number of parts
    "max_number_of_message_parts": ("a whole number from 1 to 255", _between(1, 255)),
    "from_ton": _OCTET,
    "from_npi": _OCTET,
    "parameters": (
        'texts by name (A-Z, a-z, 0-9, .-_) and recipient: {"who": {"12065550123": "Ann", "default": "you"}}',
        _is_parameters,
    ),
    "strict_validation": _FLAG,
    "udh": ("bytes in hexadecimal digits", lambda value: _bytes(value) is not None),
}
#: the types of message that know an option, where not all do
_TYPES = {
    "flash_message": (TEXT,),
    "truncate_concat": (TEXT, BINARY),
    "max_number_of_message_parts": (TEXT, BINARY),
    "from_ton": (TEXT, BINARY),
    "from_npi": (TEXT, BINARY),
    "parameters": (TEXT, MEDIA),
    "strict_validation": (MEDIA,),
    "udh": (BINARY,),
}
