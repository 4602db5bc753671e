"""What the Sinch MMS JSON API accepts, and the code it refuses everything else with.

Fields and limits: https://developers.sinch.com/docs/mms/api-reference/mms; codes:
https://developers.sinch.com/docs/mms/api-reference/api-status-codes. Where the pages give a limit without
a code (client reference, expiry dates, booleans), it is E100, the code for an invalid request.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

ACTIONS = ("sendmms", "savemms", "sendsavedmms")

#: wording of this simulator; the carrier's own differs between its pages
ERRORS = {
    "E100": "Invalid request: not a JSON object with all required fields in their documented form.",
    "E104": "The API key is missing or wrong.",
    "E106": "Too little time between two calls.",
    "E107": "The action is not allowed.",
    "E108": "The body cannot be parsed as JSON.",
    "E110": "The recipient is not one number with country code and without a plus sign.",
    "E111": "The sender is not a number of this account.",
    "E113": "The throughput limit is exceeded.",
    "E114": "The phone number is blacklisted.",
    "E115": "The sender mask is longer than 50 characters.",
    "E223": "A slide has more than one object.",
    "E224": "A slide combines media with an object.",
    "E225": "There are more than 8 slides.",
    "E226": "A slide combines video with audio.",
    "E227": "A slide combines video with an image.",
    "E228": "The text of a slide is longer than 5000 characters.",
    "E241": "There is no saved MMS with this id.",
    "E311": "The name is missing.",
    "E312": "There are no slides.",
    "E313": "A slide is empty.",
    "E314": "The subject is not text of at most 80 characters.",
    "E351": "An image could not be copied.",
    "E352": "An audio file could not be copied.",
    "E353": "A video could not be copied.",
    "E355": "A contact could not be copied.",
    "E356": "A calendar entry could not be copied.",
    "E357": "A PDF could not be copied.",
    "E503": "Internal error.",
    "E620": "The mms-id is missing.",
    "E622": "The text of the fallback SMS is missing.",
    "E626": "The saved MMS is still being encoded.",
    "E627": "The service-id is missing or wrong.",
}

#: kind of media -> (its "could not be copied" code, the media types that it may have)
MEDIA = {
    "image": ("E351", r"image/(jpe?g|png|gif|webp)"),
    "audio": ("E352", r"audio/.+"),
    "video": ("E353", r"video/.+"),
    "contact": ("E355", r"text/((x-)?vcard|directory)"),
    "calendar": ("E356", r"text/calendar"),
    "pdf": ("E357", r"application/pdf"),
}
OBJECTS = frozenset({"contact", "calendar", "pdf"})

Fields = dict[str, Any]


class Refused(Exception):
    """The carrier refuses with *code*."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def read(content_type: str, body: bytes | None) -> Fields:
    """The fields of a request. Raises ``Refused``."""
    _demand(content_type.partition(";")[0].strip().lower() == "application/json" and body is not None, "E100")
    try:
        fields = orjson.loads(body or b"")
    except orjson.JSONDecodeError:
        raise Refused("E108") from None
    _demand(isinstance(fields, dict), "E100")
    return dict(fields)


def check(fields: Fields, service_id: str | None) -> None:
    """Holds *fields* against everything documented that needs no network. Raises ``Refused``."""
    _demand("action" in fields, "E100")
    action = fields["action"]
    _demand(action in ACTIONS, "E107")
    if action == "savemms":
        _demand(_is_text(fields.get("name")), "E311")
    else:
        _check_addresses(fields, service_id)
    _check_options(fields)
    if action == "sendsavedmms":
        _demand(_is_text(str(fields.get("mms-id") or "")), "E620")
        _demand(isinstance(fields.get("custom-slides", []), list), "E100")
    else:
        _check_slides(fields.get("slide"))


def media(fields: Fields) -> Iterator[tuple[str, str]]:
    """Kind and URL of every media file in a checked request."""
    for slide in fields.get("slide", []):
        for kind in MEDIA.keys() & slide.keys():
            yield kind, slide[kind]["url"]


def _check_addresses(fields: Fields, service_id: str | None) -> None:
    # the OpenAPI file requires service-id, the later text only where one is configured for the account
    _demand(service_id is None or fields.get("service-id") == service_id, "E627")
    _demand(_is_number(fields.get("to")), "E110")
    for participant in str(fields.get("to-displayonly", fields["to"])).split(","):
        _demand(_is_number(participant.strip()), "E110")
    _demand(_is_number(fields.get("from"), shortest=3), "E111")
    _demand(_is_text(fields.get("from-mask", "-"), longest=50), "E115")


def _check_options(fields: Fields) -> None:
    _demand(_is_text(fields.get("message-subject", "-"), shortest=0, longest=80), "E314")
    for name in ("disable-fallback-sms", "disable-fallback-sms-link", "cache-content"):
        _demand(isinstance(fields.get(name, False), bool), "E100")
    _demand(fields.get("disable-fallback-sms", False) or _is_text(fields.get("fallback-sms-text")), "E622")
    _demand(_is_within(fields.get("fallback-sms-link-expiration"), timedelta(days=366)), "E100")
    _demand(_is_within(fields.get("mms-expiry-timestamp"), timedelta(days=3)), "E100")
    _demand(_is_text(fields.get("client-reference", ""), shortest=0, longest=64), "E100")


def _check_slides(slides: Any) -> None:
    _demand(bool(slides), "E312")
    _demand(isinstance(slides, list), "E100")
    _demand(len(slides) <= 8, "E225")
    for slide in slides:
        _demand(isinstance(slide, dict), "E100")
        _check_slide(slide)


def _check_slide(slide: Mapping[str, Any]) -> None:
    text, kinds = slide.get("message-text"), MEDIA.keys() & slide.keys()
    _demand(text is None or isinstance(text, str), "E100")
    _demand(bool(text or kinds), "E313")
    _demand(len(text or "") <= 5000, "E228")
    _demand(not {"video", "audio"} <= kinds, "E226")
    _demand(not {"video", "image"} <= kinds, "E227")
    _demand(len(kinds & OBJECTS) <= 1, "E223")
    _demand(not (kinds & OBJECTS and kinds - OBJECTS), "E224")
    for kind in kinds:
        _demand(isinstance(slide[kind], dict) and _is_text(slide[kind].get("url")), "E100")


def _demand(held: bool, code: str) -> None:
    if not held:
        raise Refused(code)


def _is_text(value: Any, *, shortest: int = 1, longest: int = 1 << 20) -> bool:
    return isinstance(value, str) and shortest <= len(value) <= longest


def _is_number(value: Any, *, shortest: int = 7) -> bool:
    """Country code first: a plus sign, or the 0 that a dialing prefix begins with, makes it another thing."""
    return (
        isinstance(value, str) and len(value) >= shortest and bool(re.fullmatch(r"[1-9][0-9]{2,14}", value))
    )


def _is_within(value: Any, longest: timedelta) -> bool:
    """Whether *value* is absent, or an ISO 8601 time no further ahead than *longest*; UTC unless it says."""
    if value is None:
        return True
    try:
        time = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return False
    return (time if time.tzinfo else time.replace(tzinfo=UTC)) <= datetime.now(UTC) + longest
