"""Swift API (Swift SMS 2.0, "Mercury"), SMS and MMS.

Sending: https://swift-sms-2-0-docs.pages.dev/api/messaging/sms and .../mms; what it calls back with:
https://docs.swiftsmsgateway.com/api/messaging/dlr/ and https://swift-sms-2-0-docs.pages.dev/api/messaging/incoming.
docs/providers/swift.md says what is inferred.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from hashlib import sha256
from typing import Any

import orjson

from models.errors import ErrorClass
from models.events import Event, Inbound, Report, Request, Unreadable
from models.sends import Answer, Call, Fate, Outcome, Problem, Submission
from models.status import FAILURES, Status
from receiver.config import ChannelSettings
from receiver.phone import international
from receiver.providers import answers, reading, swift_codes, swift_parts, swift_request
from receiver.providers.base import Provider
from receiver.providers.reading import identifier, message_text, moment, number, word

Fields = Mapping[str, Any]

_ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}", re.IGNORECASE)


class Swift(Provider):
    """One POST for many people, answered one by one; reports name a message by the carrier's id alone."""

    name = "swift"
    kinds = frozenset({"sms", "mms"})
    reference_kinds = kinds
    keys = {
        "api_key": "",
        "sms_url": "https://sms.swift-api.com/v1/sms",
        "mms_url": "https://mms.swift-api.com/v1/mms",
    }
    # the page sets no limit; a hundred answers are still one small body
    recipients_per_call = 100
    takes_files = True
    mms_of_text = True

    statuses = swift_codes.STATUSES
    errors = swift_codes.ERRORS

    def parse(self, request: Request, channel: ChannelSettings) -> list[Event]:
        ours = frozenset(map(international, channel.numbers))
        return reading.each(request.body, lambda fields: self._event(fields, ours))

    def acknowledge(self) -> tuple[int, bytes]:
        return 204, b""

    def check(self, submission: Submission, channel: ChannelSettings) -> list[Problem]:
        return list(swift_request.problems(submission))

    def check_recipient(self, submission: Submission, channel: ChannelSettings) -> list[Problem]:
        return list(swift_request.recipient_problems(submission))

    def call(self, submission: Submission, channel: ChannelSettings) -> Call:
        key = "mms_url" if swift_request.is_mms(submission) else "sms_url"
        return Call(
            method="POST",
            url=channel.option(key) or self.keys[key],
            headers={
                "authorization": f"Bearer {channel.option('api_key')}",
                "content-type": "application/json",
            },
            body=orjson.dumps(swift_request.fields(submission)),
        )

    def outcome(self, answer: Answer) -> Outcome:
        """Every result for itself; of whom none speaks, the HTTP status does."""
        pause = answers.pause(answer)
        told = [(_recipient(result), self._result(result, pause)) for result in _results(answer)]
        if len(told) == 1 and told[0][0] is None:
            return told[0][1]
        named = {recipient: outcome for recipient, outcome in told if recipient}
        return replace(answers.by_http_status(answer), results=named)

    def _result(self, result: Fields, pause: float | None) -> Outcome:
        code = word(result.get("errorcode"))
        known = (code or "").lower()
        ids = tuple(_ids(result))
        if known == "ok":
            return Outcome(
                Fate.ACCEPTED,
                ids,
                status=Status.QUEUED,
                sender=number(result.get("from")),
                send_at=moment(result.get("scheduleat")),
                expires_at=moment(result.get("expiresat")),
                occurred_at=moment(result.get("timestamp")),
            )
        if code is None:
            return Outcome(Fate.UNDECIDED, ids, status=Status.UNCERTAIN)
        error = self.errors.get(known, ErrorClass.UNKNOWN)
        if swift_codes.passes(known):
            # the next try has an id of its own; what is said of this one is no news of the message
            return Outcome(Fate.THROTTLED, provider_code=code, error=error, retry_after=pause)
        return Outcome(Fate.REFUSED, ids, status=Status.REJECTED, provider_code=code, error=error)

    def _event(self, fields: Fields, ours: frozenset[str]) -> Event:
        """``type`` alone decides."""
        said = word(fields.get("type"))
        match (said or "").lower():
            case "sms" | "mms" as kind:
                return _inbound(fields, kind)
            case "sms_dlr" | "mms_dlr" as kind:
                return self._report(fields, kind.removesuffix("_dlr"), ours)
        if said is None:
            raise Unreadable("the body has no type; the switch's message_format must be MERCURY_SMS_1_0")
        raise Unreadable(f"the type {said[:40]!r} is not known")

    def _report(self, fields: Fields, kind: str, ours: frozenset[str]) -> Report:
        # the id beside the type is the report's own
        named = next(iter(reading.listed(fields.get(kind), "id")), None)
        message_id, report_id = identifier(named, f"{kind}.id"), identifier(fields.get("id"), "id")
        sender, recipient = _direction(fields, ours)
        if not (message_id or report_id or recipient):
            raise Unreadable(f"the report names neither {kind}.id nor id nor to")
        said, time = word(fields.get("deliverystatus")), moment(fields.get("timestamp"))
        known = (said or "").lower()
        status = self.statuses.get(known)
        failed = status in FAILURES
        written = time.isoformat() if time else word(fields.get("timestamp"))
        without_id = (sender, recipient, written)
        return Report(
            provider_message_id=message_id,
            provider_status=said,
            status=status,
            identity=(message_id, known, *((report_id,) if report_id else without_id)),
            provider_code=said if failed else None,
            error=self.errors.get(known, ErrorClass.UNKNOWN) if failed else None,
            sender=sender,
            recipient=recipient,
            kind=kind,
            delivered_as=kind if status is Status.DELIVERED else None,
            occurred_at=time,
        )


def _inbound(fields: Fields, kind: str) -> Inbound:
    message_id = identifier(fields.get("id"), "id")
    sender, recipient = number(fields.get("from")), number(fields.get("to"))
    if message_id is None and sender is None:
        raise Unreadable("the inbound message has neither id nor from")
    data = fields.get("data")
    said, media = swift_parts.contents(data) if kind == "mms" else (message_text(fields.get("body")), ())
    time = moment(fields.get("timestamp"))
    written = time.isoformat() if time else word(fields.get("timestamp"))
    digests = [sha256(part.content or b"").hexdigest() for part in media]
    return Inbound(
        provider_message_id=message_id,
        identity=(message_id,) if message_id else (sender, recipient, written, said, *digests),
        sender=sender,
        recipient=recipient,
        text=said,
        subject=swift_parts.subject(data),
        media=media,
        kind=kind,
        occurred_at=time,
    )


def _direction(fields: Fields, ours: frozenset[str]) -> tuple[str | None, str | None]:
    """Our number and the person's. The example has them as the message had; where our own number stands in
    ``to``, it is the person's handset that reports."""
    sender, recipient = number(fields.get("from")), number(fields.get("to"))
    if recipient in ours and sender not in ours:
        return recipient, sender
    return sender, recipient


def _results(answer: Answer) -> Iterator[Fields]:
    try:
        listed = reading.keyed(reading.document(answer.body)).get("results")
    except Unreadable:
        return
    for result in listed if isinstance(listed, list) else [listed]:
        if isinstance(result, dict):
            yield reading.keyed(result)


def _recipient(result: Fields) -> str | None:
    """Whom a result is about, as the submission has it: E.164, of which the carrier leaves out the plus."""
    said = word(result.get("to"))
    return said and international(f"+{said.removeprefix('+')}")


def _ids(result: Fields) -> Iterator[str]:
    """The ids by which reports may name the message: its own, and those of a long SMS's parts if they are as
    unique as its own."""
    parts = [found for found in reading.listed(result.get("parts"), "id") if _ULID.fullmatch(found)]
    for found in dict.fromkeys([reading.stripped(result.get("id")), *parts]):
        if found and len(found) <= reading.LONGEST_ID:
            yield found
