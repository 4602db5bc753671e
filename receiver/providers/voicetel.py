"""VoiceTel, SMS and MMS: generation 2 of its API by default, 2.2 where the channel says so.

Sending: https://www.voicetel.com/api/SMS.html and https://voicetel.com/docs/api/v2.2/. What its webhooks
carry is documented nowhere: `receiver.providers.voicetel_fields` says what is looked for, and
docs/providers/voicetel.md why.
"""

import re
from dataclasses import replace
from hashlib import sha256
from typing import Any

from models.errors import ErrorClass
from models.events import Event, Inbound, Report, Request, Unreadable
from models.sends import Answer, Call, Fate, Outcome, Problem, Submission
from models.status import FAILURES, Status
from receiver.config import ChannelSettings
from receiver.providers import (
    answers,
    forms,
    named,
    reading,
    voicetel_answer,
    voicetel_fields,
    voicetel_request,
)
from receiver.providers.base import MEDIA_CHECK, Provider
from receiver.providers.reading import identifier, inner, keyed, sentence, word
from receiver.providers.voicetel_answer import Refusal
from receiver.providers.voicetel_fields import Fields, opened, our_numbers

_TELL_US = "name the carrier's keys in the channel's `fields`"
#: the words of an SMPP receipt, then those that carriers write out
_WORDS = {
    Status.SCHEDULED: "scheduled",
    Status.ACCEPTED: "accepted",
    Status.QUEUED: "queued, sending",
    Status.SENT: "enroute, acceptd, sent, dispatched, submitted, buffered",
    Status.UNCONFIRMED: "unknown, unconfirmed, delivery_unconfirmed",
    Status.DELIVERED_TO_CARRIER: "delivered_to_carrier, delivered_to_operator",
    Status.EXPIRED: "expired",
    Status.CANCELED: "canceled, cancelled",
    Status.FAILED: "skipped, failed, sending_failed, aborted, undeliverable",
    Status.REJECTED: "rejectd, rejected",
    Status.UNDELIVERED: "deleted, undeliv, undelivered, delivery_failed",
    Status.DELIVERED: "delivrd, delivered",
    Status.READ: "read",
}
#: codes of an answer with their generation, whose meanings differ; words and codes of a report without
_CLASSES = {
    ErrorClass.CONTENT_REJECTED: "2 400, 2.2 400",
    ErrorClass.CREDENTIALS_REFUSED: "bad key, 2.2 401",
    ErrorClass.SENDER_NOT_ALLOWED: "2 401, 2 404, 2.2 403",
    ErrorClass.ACCOUNT_PROBLEM: "2 402, 2 405, 2.2 402, not enabled, 21609",
    ErrorClass.OPTED_OUT: "2 406, 2.2 409",
    ErrorClass.THROTTLED: "queue is full, 30001",
    ErrorClass.CARRIER_ERROR: "2 422, failure, undeliv, undelivered, delivery_failed, deleted, rejectd, "
    "rejected",
    ErrorClass.EXPIRED: "expired",
    ErrorClass.CANCELED: "canceled, cancelled",
}


class VoiceTel(Provider):
    """Forms or JSON out; whatever can be read in."""

    name = "voicetel"
    kinds = frozenset({"sms", "mms"})
    region = voicetel_fields.REGION
    keys = {
        "api_key": "",
        "base_url": voicetel_request.BASE_URL,
        "api": voicetel_request.FORMS,
        "fields": {},
        MEDIA_CHECK: "refuse",
    }
    gives_ids = False
    expects_reports = False

    statuses = {said: status for status, words in _WORDS.items() for said in words.split(", ")}
    errors = {code: error for error, codes in _CLASSES.items() for code in codes.split(", ")}

    def misconfigured(self, channel: ChannelSettings) -> str | None:
        return voicetel_request.misconfigured(channel) or named.misconfigured(channel, voicetel_fields.NAMES)

    def parse(self, request: Request, channel: ChannelSettings) -> list[Event]:
        def event(fields: dict[str, Any]) -> Event:
            found = opened(fields, channel)
            return self._report(found) if found.are_a_receipt() else _inbound(found)

        return reading.each_of(forms.document(request), event)

    def acknowledge(self) -> tuple[int, bytes]:
        return 200, b'{"status":"success"}'

    def check(self, submission: Submission, channel: ChannelSettings) -> list[Problem]:
        return list(voicetel_request.problems(submission, channel))

    def check_recipient(self, submission: Submission, channel: ChannelSettings) -> list[Problem]:
        return list(voicetel_request.recipient_problems(submission, channel))

    def call(self, submission: Submission, channel: ChannelSettings) -> Call:
        return voicetel_request.send(submission, channel)

    def outcome(self, answer: Answer) -> Outcome:
        try:
            fields = keyed(reading.document(answer.body))
        except Unreadable:
            return answers.by_http_status(answer)
        if (word(fields.get("status")) or "").lower() == "success":
            return Outcome(
                Fate.ACCEPTED,
                provider_message_ids=voicetel_answer.ids(fields),
                status=Status.QUEUED,
                provider_message=sentence(fields.get("message")),
            )
        refusal = voicetel_answer.refusal(fields, answer)
        if refusal:
            return self._refused(refusal, answer)
        # neither Success nor Error: what it means only HTTP says, and the Message stays with it
        return replace(answers.by_http_status(answer), provider_message=voicetel_answer.message(fields))

    def ask(self, provider_message_id: str, recipient: str, channel: ChannelSettings) -> Call | None:
        """The receipts of our number: the history is kept by that, and only generation 2.2 has one."""
        ours = [number for number in our_numbers(channel) if voicetel_request.sendable(number, channel)]
        # of several numbers nobody tells us here which one has sent
        if voicetel_request.generation(channel) != voicetel_request.CURRENT or len(ours) != 1:
            return None
        return voicetel_request.receipts(ours[0], channel)

    def told(self, answer: Answer, channel: ChannelSettings) -> list[Event]:
        fields = keyed(reading.document(answer.body))
        history = inner(fields.get("data"))
        records = history.get("messages")
        if not isinstance(records, list):
            said = sentence(inner(fields.get("error")).get("message")) or "no list of messages"
            raise Unreadable(f"the history was not told: HTTP {answer.status}, {said}")
        kind = word(history.get("type")) or "dlr"

        def report(record: dict[str, Any]) -> Event:
            return self._report(opened(_recorded(record, kind), channel))

        return reading.each_of(records, report) if records else []

    def _refused(self, refusal: Refusal, answer: Answer) -> Outcome:
        error = self.errors.get(refusal.reason)
        if error is None and re.fullmatch("[3-5][0-9][0-9]", refusal.code or ""):
            outcome = answers.by_http_status(replace(answer, status=int(refusal.code or 0)))
            return replace(outcome, provider_code=refusal.code, provider_message=refusal.detail)
        later = error is ErrorClass.THROTTLED
        return Outcome(
            fate=Fate.THROTTLED if later else Fate.REFUSED,
            status=None if later else Status.REJECTED,
            provider_code=refusal.code,
            provider_message=refusal.detail,
            error=error or ErrorClass.UNKNOWN,
            retry_after=answers.pause(answer) if later else None,
        )

    def _report(self, fields: Fields) -> Report:
        receipt = fields.receipt()
        found_id = identifier(fields.stripped("id") or receipt.get("id"), "id")
        sender, recipient = fields.sides()
        if found_id is None and recipient is None:
            raise Unreadable(f"the receipt has neither an id nor a number; {_TELL_US}")
        said = self._known(fields.word("status"), word(receipt.get("stat")))
        code = fields.word("error") or word(receipt.get("err"))
        status = self.statuses.get(_folded(said))
        failed = status in FAILURES
        occurred_at = reading.timestamp(fields.word("time"))
        time = (
            occurred_at.isoformat() if occurred_at else fields.word("time") or word(receipt.get("done date"))
        )
        numbers = (None, None) if found_id else (sender, recipient)
        return Report(
            provider_message_id=found_id,
            provider_status=said,
            status=status,
            identity=(found_id, *numbers, _folded(said), code, time),
            provider_code=code if failed else None,
            provider_message=sentence(fields.text("error_text") or fields.receipt_line()),
            error=self._class_of(said, code) if failed else None,
            sender=sender,
            recipient=recipient,
            kind=fields.kind(),
            occurred_at=occurred_at,
        )

    def _known(self, *said: str | None) -> str | None:
        """The first word that means something: the "Success" of an envelope is none of a message."""
        words = [found for found in said if found]
        return next((found for found in words if _folded(found) in self.statuses), next(iter(words), None))

    def _class_of(self, said: str | None, code: str | None) -> ErrorClass:
        """A code that means something goes before the word, which is all that an SMPP receipt has."""
        return self.errors.get(code or "", self.errors.get(_folded(said), ErrorClass.UNKNOWN))


def _inbound(fields: Fields) -> Inbound:
    found_id = identifier(fields.stripped("id"), "id")
    sender, recipients = next(iter(fields.numbers("from")), None), fields.recipients()
    said, subject, media = fields.message_text(), fields.text("subject"), fields.media()
    if sender is None or not (said or subject or media or fields.has("text")):
        raise Unreadable(f"neither a receipt nor a message with a sender and a text or media; {_TELL_US}")
    occurred_at = reading.timestamp(fields.word("time"))
    time = occurred_at.isoformat() if occurred_at else fields.word("time")
    files = [sha256(part.content).hexdigest() if part.content is not None else part.url for part in media]
    return Inbound(
        provider_message_id=found_id,
        identity=(found_id,) if found_id else (sender, *recipients, said, subject, time, *files),
        sender=sender,
        recipient=next(iter(recipients), None),
        participants=tuple(recipients[1:]),
        text=said,
        subject=subject,
        media=tuple(media),
        kind="mms" if media or subject else fields.kind(),
        provider_status=fields.word("status"),
        occurred_at=occurred_at,
    )


def _recorded(record: dict[str, Any], kind: str) -> dict[str, Any]:
    """A record of the history as a webhook would tell it. For a receipt no status is documented: then its
    *kind* is all that it says."""
    key = record.get("key")
    time = key[-1] if isinstance(key, list) and key else None
    return {"time": time, "stat": kind} | inner(record.get("value")) | {"id": record.get("id")}


def _folded(said: str | None) -> str:
    return re.sub("[-_ ]+", "_", (said or "").lower())
