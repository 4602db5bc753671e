"""Sinch SMS over its REST API, "XMS", v1.

Sending: https://developers.sinch.com/docs/sms/api-reference/sms/batches; reports and inbound:
https://developers.sinch.com/docs/sms/api-reference/sms/tag/Webhooks; codes of the networks:
https://developers.sinch.com/docs/sms/smpp/error-codes. docs/providers/sinch_sms.md says what was inferred.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import orjson

from models.errors import ErrorClass
from models.events import EVERY, Event, Report, Request, Unreadable
from models.sends import Answer, Call, Fate, Outcome, Problem, Submission
from models.status import FAILURES, Status
from receiver.config import ChannelSettings
from receiver.providers import answers, reading, shape, sinch_signature, sinch_sms_codes, sinch_sms_request
from receiver.providers.base import CALLBACK_KEY, MEDIA_CHECK, Provider
from receiver.providers.reading import identifier, moment, number, sentence, stripped, word
from receiver.providers.sinch_sms_inbound import inbound

DAY = 86400

Fields = Mapping[str, Any]


class SinchSms(Provider):
    """A POST sends a batch; reports name the batch and, as we order them, one of its recipients."""

    name = "sinch_sms"
    kinds = frozenset({"sms", "mms"})
    keys = {
        "service_plan_id": "",
        "api_token": "",
        "base_url": "https://us.sms.api.sinch.com",
        CALLBACK_KEY: "",
        MEDIA_CHECK: "refuse",
    }
    credentials = ("service_plan_id", "api_token")
    echoes_reference = True
    reference_kinds = kinds
    verifies_signatures = True
    recipients_per_call = 1000
    max_expiry = 3 * DAY
    report_window = max_expiry + 2 * 3600

    statuses = {
        "queued": Status.QUEUED, "dispatched": Status.SENT, "delivered": Status.DELIVERED,
        "failed": Status.UNDELIVERED, "deleted": Status.UNDELIVERED, "expired": Status.EXPIRED,
        "rejected": Status.REJECTED, "aborted": Status.FAILED,
        "cancelled": Status.CANCELED, "canceled": Status.CANCELED,
        "unknown": Status.UNCONFIRMED,  # the network took it and sent no receipt that could be read
    }  # fmt: skip
    errors = sinch_sms_codes.ERRORS

    def misconfigured(self, channel: ChannelSettings) -> str | None:
        return sinch_sms_request.misconfigured(channel)

    def authenticate(self, request: Request, channel: ChannelSettings) -> bool:
        return not channel.webhook_secret or sinch_signature.fits(request, channel.webhook_secret)

    def parse(self, request: Request, channel: ChannelSettings) -> list[Event]:
        """The events of a callback; a report on a whole batch tells as much as it says of each message.

        ``full`` lists recipients: an event for each of them. ``summary`` lists none: if all messages of the
        batch have one status, it is one event with `EVERY` for recipient, else it cannot be said which
        message has which, and the payload is kept without an event.
        """
        told = reading.each(request.body, self._events)
        return [event for events in told for event in events]

    def check(self, submission: Submission, channel: ChannelSettings) -> list[Problem]:
        return sinch_sms_request.problems(submission, channel)

    def check_recipient(self, submission: Submission, channel: ChannelSettings) -> list[Problem]:
        return list(sinch_sms_request.recipient_problems(submission))

    def call(self, submission: Submission, channel: ChannelSettings) -> Call:
        return self._request("POST", channel, "", orjson.dumps(sinch_sms_request.fields(submission, channel)))

    def ask(self, provider_message_id: str, recipient: str, channel: ChannelSettings) -> Call:
        """https://developers.sinch.com/docs/sms/api-reference/sms/tag/Delivery-reports/, by recipient."""
        batch_id, digits = quote(provider_message_id, safe=""), quote(recipient.removeprefix("+"), safe="")
        return self._request("GET", channel, f"/{batch_id}/delivery_report/{digits}", b"")

    def told(self, answer: Answer, channel: ChannelSettings) -> list[Event]:
        if answer.status == 404:
            return []  # no report yet
        if answer.status != 200:
            raise Unreadable(f"the question was answered with HTTP {answer.status}")
        return self.parse(Request("GET", b"", {}, answer.body), channel)

    def _request(self, method: str, channel: ChannelSettings, path: str, body: bytes) -> Call:
        base_url = channel.option("base_url") or self.keys["base_url"]
        plan = quote(channel.option("service_plan_id"), safe="")
        headers = {
            "authorization": f"Bearer {channel.option('api_token')}",
            "content-type": "application/json",
        }
        return Call(method, f"{base_url.rstrip('/')}/xms/v1/{plan}/batches{path}", headers, body)

    def outcome(self, answer: Answer) -> Outcome:
        try:
            fields = reading.keyed(reading.document(answer.body))
            batch_id = identifier(fields.get("id"), "id")
        except Unreadable:
            return answers.by_http_status(answer)
        if 200 <= answer.status < 300 and batch_id:
            return Outcome(
                Fate.ACCEPTED,
                (batch_id,),
                status=Status.QUEUED,
                names_batch=True,
                sender=number(fields.get("from")),
                send_at=moment(fields.get("sendat")),
                expires_at=moment(fields.get("expireat")),
                occurred_at=moment(fields.get("createdat")),
            )
        code = word(fields.get("code"))
        # only these two are promised to carry a code; elsewhere the HTTP status is the better witness
        if answer.status not in (400, 403) or code is None:
            return answers.by_http_status(answer)
        return Outcome(
            Fate.REFUSED,
            status=Status.REJECTED,
            provider_code=code,
            provider_message=sentence(fields.get("text")),
            error=self.errors.get(code.lower(), ErrorClass.UNKNOWN),
        )

    def _events(self, fields: Fields) -> list[Event]:
        type_ = (word(fields.get("type")) or "").lower()
        if type_.startswith("mo_") or ("from" in fields and "batchid" not in fields):
            return [inbound(fields, type_)]
        if identifier(fields.get("batchid"), "batch_id") is None and _reference(fields) is None:
            raise Unreadable("the report has neither batch_id nor client_reference")
        if "statuses" in fields:
            return self._batch(fields, type_)
        recipient = _recipient(fields.get("recipient"))
        if recipient is None:
            raise Unreadable("the report names no recipient, or none that can be kept")
        return [self._report(fields, type_, fields, recipient)]

    def _batch(self, fields: Fields, type_: str) -> list[Event]:
        listed = fields["statuses"] if isinstance(fields["statuses"], list) else [fields["statuses"]]
        entries = [reading.keyed(entry) for entry in listed if isinstance(entry, dict)]
        if any(entry.get("recipients") for entry in entries):
            told = [(entry, reading.listed(entry.get("recipients"), "recipient")) for entry in entries]
            shape.check_events(sum(len(recipients) for _, recipients in told))
            return [
                self._report(fields, type_, entry, recipient)
                for entry, recipients in told
                for written in recipients
                if (recipient := _recipient(written)) is not None
            ]
        common = _common(fields, entries)
        return [] if common is None else [self._report(fields, type_, common, EVERY)]

    def _report(self, fields: Fields, type_: str, entry: Fields, recipient: str) -> Report:
        """The report in *fields*, of which *entry* is the part that is about *recipient*."""
        batch_id, reference = identifier(fields.get("batchid"), "batch_id"), _reference(fields)
        said, code, at = word(entry.get("status")), word(entry.get("code")), word(entry.get("at"))
        plain = (said or "").lower()
        status, occurred_at = self.statuses.get(plain), moment(at)
        error = self.errors.get(code or "") or self.errors.get(plain) or ErrorClass.UNKNOWN
        return Report(
            provider_message_id=batch_id,
            provider_status=said,
            status=status,
            identity=(
                batch_id or reference,
                recipient,
                code,
                plain,
                occurred_at.isoformat() if occurred_at else at,
            ),
            client_reference=reference,
            provider_code=code,
            provider_message=sentence(entry.get("statusmessage")),
            error=error if status in FAILURES else None,
            sender=number(entry.get("appliedoriginator")),
            recipient=None if recipient == EVERY else recipient,
            batch_recipient=recipient,
            kind="mms" if type_.endswith("_mms") else "sms",
            occurred_at=occurred_at,
        )


def _reference(fields: Fields) -> str | None:
    """The reference of whoever sent the batch. It may have 2,048 characters; one that no index holds is not
    ours, and the batch is known by its id."""
    found = stripped(fields.get("clientreference"))
    return found if found and len(found) <= reading.LONGEST_ID else None


def _recipient(value: Any) -> str | None:
    """The number by which a message of a batch is known, None where there is none to know it by."""
    written = stripped(value) or ""
    found = number(written) if len(written) <= reading.LONGEST_ID else None
    return found if found != EVERY else None


def _common(fields: Fields, entries: list[dict[str, Any]]) -> Fields | None:
    """The status that every message of a batch has, and its code if that is one for all too; None if they
    have several, or if the counts leave some of them out."""
    words = {(word(entry.get("status")) or "").lower() for entry in entries}
    codes = {word(entry.get("code")) for entry in entries}
    total, counts = _count(fields.get("totalmessagecount")), [_count(entry.get("count")) for entry in entries]
    complete = total is None or None in counts or sum(filter(None, counts)) == total
    if len(words) != 1 or "" in words or not complete:
        return None
    return entries[0] | {"code": codes.pop() if len(codes) == 1 else None}


def _count(value: Any) -> int | None:
    found = word(value) or ""
    return int(found) if found.isascii() and found.isdecimal() and len(found) < 10 else None
