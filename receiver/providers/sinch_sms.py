"""Sinch SMS over its REST API, "XMS", v1.

Sending: https://developers.sinch.com/docs/sms/api-reference/sms/batches; reports and inbound:
https://developers.sinch.com/docs/sms/api-reference/sms/tag/Webhooks; codes of the networks:
https://developers.sinch.com/docs/sms/smpp/error-codes. docs/providers/sinch_sms.md says what was inferred.
"""

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

import orjson

from models.errors import ErrorClass
from models.events import (
    EVERY,
    Answer,
    Call,
    Event,
    Fate,
    Outcome,
    Problem,
    Report,
    Request,
    Submission,
    Unreadable,
)
from models.status import FAILURE_BITS, STATUS_BIT, Status
from receiver.config import ChannelSettings
from receiver.providers import reading, sinch_signature, sinch_sms_request
from receiver.providers.base import Provider
from receiver.providers.reading import identifier, moment, number, text, word
from receiver.providers.sinch_sms_inbound import inbound

DAY = 86400
FAILURES = frozenset(status for status, bit in STATUS_BIT.items() if bit & FAILURE_BITS)

Fields = Mapping[str, Any]

#: From 400 on codes of Sinch itself, below those of the networks; then words of a status, for failures whose
#: code says nothing, and what the API answers to a batch that it refuses.
_CLASSES = {
    ErrorClass.HANDSET_UNREACHABLE: "153 158 159 201-203 210 417",
    ErrorClass.UNKNOWN_SUBSCRIBER: "100 150 200 205",
    ErrorClass.INVALID_NUMBER: "300-302 illegal_number_type unknown_group",
    ErrorClass.UNSUPPORTED_BY_RECIPIENT: "101 152 154 204 206 212 416",
    ErrorClass.RECIPIENT_BLOCKED: "16 61 151 254-257",
    ErrorClass.SPAM_FILTERED: "15 62",
    ErrorClass.CONTENT_REJECTED: "66 67 405 syntax_invalid_json syntax_invalid_parameter_format "
    "syntax_constraint_violation",
    ErrorClass.CONTENT_TOO_LARGE: "411",
    ErrorClass.MEDIA_ERROR: "414",
    ErrorClass.SENDER_NOT_ALLOWED: "60 310-312 410 unknown_campaign",
    ErrorClass.THROTTLED: "360",
    ErrorClass.QUOTA_EXCEEDED: "64",
    ErrorClass.NO_ROUTE: "1-14 17 65 402 412",
    ErrorClass.EXPIRED: "406 expired",
    ErrorClass.CARRIER_ERROR: "19 63 77 102-113 155-157 160-163 207-209 211 213-216 404 408 415 418",
    ErrorClass.PROVIDER_OUTAGE: "18 40 50-56 70-76 403",
    ErrorClass.ACCOUNT_PROBLEM: "413 blocked_account missing_callback_url",
    ErrorClass.CANCELED: "407 cancelled canceled",
}


def _codes(listed: str) -> Iterator[str]:
    for code in listed.split():
        first, _, last = code.partition("-")
        yield from map(str, range(int(first), int(last) + 1)) if last else [code]


class SinchSms(Provider):
    """A POST sends a batch; reports name the batch and, as we order them, one of its recipients."""

    name = "sinch_sms"
    kinds = frozenset({"sms", "mms"})
    keys = {"service_plan_id": "", "api_token": "", "base_url": "https://us.sms.api.sinch.com"}
    echoes_reference = True
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
    errors = {code: error for error, codes in _CLASSES.items() for code in _codes(codes)}

    def authenticate(self, request: Request, channel: ChannelSettings) -> bool:
        return channel.webhook_secret is None or sinch_signature.fits(request, channel.webhook_secret)

    def parse(self, request: Request, channel: ChannelSettings) -> list[Event]:
        """The events of a callback; a report on a whole batch tells as much as it says of each message.

        ``full`` lists recipients: an event for each of them. ``summary`` lists none: if all messages of the
        batch have one status, it is one event with `EVERY` for recipient, else it cannot be said which
        message has which, and the payload is kept without an event.
        """
        told = reading.each(request.body, self._events)
        return [event for events in told for event in events]

    def check(self, submission: Submission, channel: ChannelSettings) -> list[Problem]:
        return sinch_sms_request.problems(submission)

    def call(self, submission: Submission, channel: ChannelSettings) -> Call:
        base_url = channel.option("base_url") or self.keys["base_url"]
        service_plan_id = quote(channel.option("service_plan_id"), safe="")
        return Call(
            method="POST",
            url=f"{base_url.rstrip('/')}/xms/v1/{service_plan_id}/batches",
            headers={
                "authorization": f"Bearer {channel.option('api_token')}",
                "content-type": "application/json",
            },
            body=orjson.dumps(sinch_sms_request.fields(submission)),
        )

    def outcome(self, answer: Answer) -> Outcome:
        try:
            fields = reading.keyed(reading.document(answer.body))
            batch_id = identifier(fields.get("id"), "id")
        except Unreadable:
            return reading.by_http_status(answer)
        if 200 <= answer.status < 300 and batch_id:
            return Outcome(Fate.ACCEPTED, (batch_id,), status=Status.QUEUED, names_batch=True)
        code = word(fields.get("code"))
        # only these two are promised to carry a code; elsewhere the HTTP status is the better witness
        if answer.status not in (400, 403) or code is None:
            return reading.by_http_status(answer)
        return Outcome(
            Fate.REFUSED,
            status=Status.REJECTED,
            provider_code=code,
            provider_message=text(fields.get("text")),
            error=self.errors.get(code.lower(), ErrorClass.UNKNOWN),
        )

    def _events(self, fields: Fields) -> list[Event]:
        type_ = (word(fields.get("type")) or "").lower()
        if type_.startswith("mo_") or ("from" in fields and "batchid" not in fields):
            return [inbound(fields, type_)]
        ids = _ids(fields)
        if "statuses" in fields:
            return list(self._batch(ids, type_, fields["statuses"]))
        recipient = _recipient(fields.get("recipient"))
        if recipient is None:
            raise Unreadable("the report names no recipient")
        return [self._report(ids, type_, fields, recipient)]

    def _batch(self, ids: "_Ids", type_: str, statuses: Any) -> Iterator[Report]:
        entries = [reading.keyed(entry) for entry in statuses if isinstance(entry, dict)] if isinstance(statuses, list) else []
        full = False
        for entry in entries:
            for listed in reading.listed(entry.get("recipients"), "recipient"):
                full = True
                if (recipient := _recipient(listed)) is not None:
                    yield self._report(ids, type_, entry, recipient)
