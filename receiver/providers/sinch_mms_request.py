"""What a send becomes for Sinch MMS: the fields of its request, and the limits that it may break.

https://developers.sinch.com/docs/mms/api-reference/mms; the codes in comments are what the carrier answers
to a request that breaks the rule (https://developers.sinch.com/docs/mms/api-reference/api-status-codes).
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from models.sends import Problem, Submission
from receiver import phone
from receiver.config import ChannelSettings
from receiver.providers import checks, reading, sinch_mms_slides
from receiver.providers.sinch_mms_slides import CARRIER

LONGEST_SUBJECT, LONGEST_REFERENCE = 80, 64
#: characters that the carrier advises, for the best deliverability
ADVISED_SUBJECT, ADVISED_FALLBACK = 40, 110
# the page on errors says 50 (E115), an appendix 11: the carrier knows which of them it means today
LONGEST_MASK = 50
SAVE = "save_template"
SERVICE_ID = "service_id"


def misconfigured(channel: ChannelSettings) -> str | None:
    """Returns what is wrong with the keys of *channel*, in a sentence that names the key; None if nothing."""
    value = channel.extra.get(SERVICE_ID, "")
    if isinstance(value, str) or (isinstance(value, list) and all(isinstance(one, str) for one in value)):
        return None
    return f'{SERVICE_ID} must be a text like "5210", or a list of them.'


def fields(submission: Submission, channel: ChannelSettings) -> dict[str, Any]:
    """The JSON that makes the carrier do what a checked *submission* says."""
    named = {
        "action": _action(submission),
        "service-id": channel.option(SERVICE_ID),
        "to": _digits(submission.recipient),
        "from": _digits(submission.sender),
        "name": submission.template_name,
        "mms-id": submission.provider_template_id,
        "message-subject": submission.subject,
        "fallback-sms-text": submission.fallback_text,
        "mms-expiry-timestamp": submission.expires_at and _written(submission.expires_at),
        "client-reference": submission.wire_reference,
    }
    if submission.action == SAVE:
        # savemms stores content, and has no field for where and how it will go one day
        named |= {"service-id": None, "to": None, "from": None, "mms-expiry-timestamp": None}
    made: dict[str, Any] = {name: value for name, value in named.items() if value}
    if submission.provider_template_id is None:
        made["slide"] = sinch_mms_slides.laid_out(submission)
    # the carrier demands a text for the fallback SMS (E622) unless told that there shall be none
    made["disable-fallback-sms"] = not submission.fallback_text
    return made | {name: _on_the_wire(name, value) for name, value in submission.options.items()}


def problems(submission: Submission, channel: ChannelSettings, *, looks: bool) -> list[Problem]:
    """Every limit that *submission* breaks, but those that need a clock; *looks* as `sinch_mms_slides` has
    it."""
    options = _option_problems(submission, channel.listed(SERVICE_ID))
    if submission.action == SAVE:
        return [*_name_problems(submission), *_content_problems(submission, looks), *options]
    stored = submission.provider_template_id is not None
    return [
        *recipient_problems(submission),
        *_sender_problems(submission),
        *checks.too_long(
            CARRIER,
            "/client_reference",
            "characters of client-reference",
            LONGEST_REFERENCE,
            len(submission.reference or ""),
        ),
        *(_stored_problems(submission) if stored else _content_problems(submission, looks)),
        *options,
    ]


def advice(submission: Submission) -> Iterator[Problem]:
    """Yields what the carrier's page advises against, or promises to some accounts and countries only."""
    for pointer, what, advised, value in (
        ("/subject", "subject", ADVISED_SUBJECT, submission.subject),
        ("/fallback_text", "fallback text", ADVISED_FALLBACK, submission.fallback_text),
    ):
        if len(value or "") > advised:
            detail = f"{CARRIER} advises at most {advised} characters of {what} for the best deliverability"
            yield Problem(pointer, f"{detail}; this message has {len(value or '')}")
    if "from-mask" in submission.options and "US" in map(phone.region, submission.recipients):
        yield Problem("/options/from-mask", f"{CARRIER} shows no names as senders in the USA")
    yield from sinch_mms_slides.advice(submission)


def _action(submission: Submission) -> str:
    if submission.action == SAVE:
        return "savemms"
    return "sendmms" if submission.provider_template_id is None else "sendsavedmms"


def _digits(number: str | None) -> str:
    """A number as Sinch MMS wants it: with a plus sign it is E110."""
    return (number or "").removeprefix("+")


def _written(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _name_problems(submission: Submission) -> Iterator[Problem]:
    if not submission.template_name:  # E311
        yield Problem("/name", f"{CARRIER} stores a message under a name")


def recipient_problems(submission: Submission) -> Iterator[Problem]:
    """The limits that the recipient of *submission* breaks; what is only stored has none."""
    if submission.action != SAVE and not (submission.recipient or "").startswith(
        "+"
    ):  # E110, of short codes too
        yield Problem("/to", f"{CARRIER} sends to a phone number with its country code")


def _sender_problems(submission: Submission) -> Iterator[Problem]:
    if submission.sender is None:
        yield Problem("/from", f"{CARRIER} needs a sender; name one, or list the channel's numbers")
    elif not _digits(submission.sender).isdecimal():  # E111
        yield Problem(
            "/from", f"{CARRIER} sends from a number or short code; a name goes into options.from-mask"
        )


def _content_problems(submission: Submission, looks: bool) -> Iterator[Problem]:
    yield from sinch_mms_slides.problems(submission, looks=looks)
    yield from _subject_problems(submission)


def _stored_problems(submission: Submission) -> Iterator[Problem]:
    """A stored message brings its own text and media; what would be lost on the way is refused."""
    detail = f"{CARRIER} takes none of its own for a stored message"
    for pointer, value in (
        ("/text", submission.text),
        ("/media", submission.media and not submission.slides),
        ("/slides", submission.slides),
        ("/expires_at", submission.expires_at),
        ("/options/from-mask", submission.options.get("from-mask")),
    ):
        if value:
            yield Problem(pointer, detail)
    if not submission.provider_template_id:  # E620
        yield Problem("/template_id", "the stored message has no mms-id")
    yield from _subject_problems(submission)


def _subject_problems(submission: Submission) -> Iterator[Problem]:
    size = len(submission.subject or "")
    yield from checks.too_long(
        "Sinch MMS", "/subject", "characters of subject", LONGEST_SUBJECT, size
    )  # E314


def _option_problems(submission: Submission, service_ids: Sequence[str]) -> Iterator[Problem]:
    for name, value in submission.options.items():
        pointer = "/options/" + name.replace("~", "~0").replace("/", "~1")
        if name not in _EXPECTED:
            known = ", ".join(_EXPECTED)
            yield Problem(pointer, f"{CARRIER} knows the options {known}", code="unknown_field")
        elif not _fits(name, value):
            yield Problem(pointer, f"must be {_EXPECTED[name]}")
        elif name == "service-id" and value not in service_ids:  # E627
            listed = ", ".join(service_ids) or "none"
            yield Problem(pointer, f"the channel lists {listed}, in its setting {SERVICE_ID}")
    if submission.options.get("disable-fallback-sms") is False and not submission.fallback_text:  # E622
        detail = f"{CARRIER} needs the text of the fallback SMS unless disable-fallback-sms is true"
        yield Problem("/fallback_text", detail)


_BOOLEANS = ("disable-fallback-sms", "disable-fallback-sms-link", "cache-content")
_EXPECTED = dict.fromkeys(_BOOLEANS, "true or false") | {
    "from-mask": f"a name of 1 to {LONGEST_MASK} characters",
    "fallback-sms-link-expiration": "an RFC 3339 time, at most a year ahead",
    "service-id": "one of the campaigns that the channel lists",
    "to-displayonly": "phone numbers with country code, as a list or separated by commas",
}


def _fits(name: str, value: Any) -> bool:
    if name in _BOOLEANS:
        return isinstance(value, bool)
    if name == "from-mask":
        return isinstance(value, str) and len(value.strip()) > 0 and len(value) <= LONGEST_MASK
    if name == "service-id":
        return isinstance(value, str)
    if name == "fallback-sms-link-expiration":
        return reading.moment(value) is not None
    numbers = _displayed(value)
    return bool(numbers) and all(number.isdecimal() for number in numbers)


def _on_the_wire(name: str, value: Any) -> Any:
    if name == "to-displayonly":
        return ",".join(_displayed(value))
    if name == "fallback-sms-link-expiration" and (time := reading.moment(value)):
        return _written(time)
    return value


def _displayed(value: Any) -> list[str]:
    """The numbers of ``to-displayonly`` without ``+``; what is no number stays, to be refused."""
    listed = value.split(",") if isinstance(value, str) else value
    if not isinstance(listed, list):
        return []
    return [_digits(reading.number(number) or "") for number in listed]
