"""Cellcast (Australia) over its newer platform, API v1.

Sending: https://developer.cellcast.com/api-docs/sms.html and .../mms.html; callbacks:
https://developer.cellcast.com/getting-started/setup-webhook.html. It shares nothing on the wire with v3.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from models.errors import ErrorClass
from models.events import Event, Inbound, Report, Request, Unreadable
from models.sends import Answer, Call, Fate, Outcome, OutgoingMedia, Problem, Submission
from models.status import FAILURE_BITS, STATUS_BIT, Status
from receiver.config import ChannelSettings
from receiver.providers import answers, batch, cellcast_v1_request, checks, links, multipart, named, reading
from receiver.providers.cellcast_common import REGION, CellcastApi
from receiver.providers.reading import identifier, inner, message_text, national, sentence, word

#: the documents say message; others have seen reply, and body is what the polled list has
_TEXT_KEYS = ("message", "reply", "body", "text")

Fields = Mapping[str, Any]


class CellcastV1(CellcastApi):
    """A gateway for SMS and one for MMS; one kind of callback, whose ``type`` says what it is."""

    name = "cellcast_v1"
    keys = {"api_key": "", "base_url": "https://api.cellcast.com", "fields": {}}

    #: ``received`` is said of our own messages too (``type`` send), and means delivered there
    statuses = {
        "queued": Status.QUEUED, "pending": Status.QUEUED, "scheduled": Status.QUEUED,
        "sent": Status.SENT,
        "delivered": Status.DELIVERED, "delievered": Status.DELIVERED, "received": Status.DELIVERED,
        "expired": Status.EXPIRED, "canceled": Status.CANCELED,
        "failed": Status.FAILED, "rejected": Status.REJECTED,
        "dead": Status.UNDELIVERED, "blocked": Status.UNDELIVERED,
    }  # fmt: skip
    #: no code comes with a word, so only those that say why have a class
    errors = {"expired": ErrorClass.EXPIRED, "canceled": ErrorClass.CANCELED}

    def proof(self, channel: ChannelSettings) -> dict[str, str]:
        return {"authorization": f"Bearer {channel.option('api_key')}"}

    def misconfigured(self, channel: ChannelSettings) -> str | None:
        return named.misconfigured(channel, {"media": links.NAMES})

    def parse(self, request: Request, channel: ChannelSettings) -> list[Event]:
        return reading.each(request.body, lambda fields: self._event(fields, channel))

    def fetches(self, media: OutgoingMedia) -> bool:
        return checks.plain_type(media) in cellcast_v1_request.GIF

    def check(self, submission: Submission, channel: ChannelSettings) -> list[Problem]:
        return cellcast_v1_request.problems(submission)

    def check_recipient(self, submission: Submission, channel: ChannelSettings) -> list[Problem]:
        return list(cellcast_v1_request.recipient_problems(submission))

    def call(self, submission: Submission, channel: ChannelSettings) -> Call:
        if submission.kind == "sms":
            return self.call_to("POST", "api/v1/gateway", channel, cellcast_v1_request.sms(submission))
        boundary = submission.id.hex
        body = cellcast_v1_request.mms(submission, boundary)
        return self.call_to("POST", "api/v1/gatewaymms", channel, body, multipart.content_type(boundary))

    def outcome(self, answer: Answer) -> Outcome:
        try:
            fields = reading.keyed(reading.document(answer.body))
            granted = _granted(fields)
            if granted:
                return _accepted(fields)
        except Unreadable:
            return answers.by_http_status(answer)
        said = (
            sentence(fields.get("message"))
            or sentence(fields.get("msg"))
            or sentence(inner(fields.get("error")).get("error"))
        )
        meant = answers.by_http_status(answer)
        if granted is False and answer.status < 300:
            # most refusals come under HTTP 200
            meant = Outcome(Fate.REFUSED, status=Status.REJECTED, error=ErrorClass.UNKNOWN)
        return replace(meant, provider_message=said)

    def ask(self, provider_message_id: str, recipient: str, channel: ChannelSettings) -> Call | None:
        return self.call_to("GET", f"api/v2/report/message/{quote(provider_message_id, safe='')}", channel)

    def told(self, answer: Answer, channel: ChannelSettings) -> list[Event]:
        fields = reading.keyed(reading.document(answer.body))
        data = fields.get("data")
        if _granted(fields) is False or not data:
            return []
        return reading.each_of(data, lambda entry: self._report(entry, channel))

    def _event(self, fields: Fields, channel: ChannelSettings) -> Event:
        """By ``type`` alone: an inbound message says "delivered" as well."""
        said = (word(fields.get("type")) or "").lower()
        if said == "receive":
            return _inbound(fields, channel)
        if said == "send":
            return self._report(fields, channel)
        raise Unreadable("the type is neither send nor receive")

    def _report(self, fields: Fields, channel: ChannelSettings) -> Report:
        message_id = identifier(fields.get("id"), "_id")
        if message_id is None:
            raise Unreadable("the report has no _id")
        said = word(fields.get("status"))
        status = self.statuses.get((said or "").lower())
        failed = status is not None and bool(STATUS_BIT[status] & FAILURE_BITS)
        return Report(
            provider_message_id=message_id,
            provider_status=said,
            status=status,
            identity=(message_id, said and said.lower()),
            error=self.errors.get((said or "").lower(), ErrorClass.UNKNOWN) if failed else None,
            sender=_number(fields.get("sender"), channel),
            recipient=_number(fields.get("receiver"), channel),
            occurred_at=reading.moment(fields.get("updatedat")),
        )


def _inbound(fields: Fields, channel: ChannelSettings) -> Inbound:
    message_id, sender = identifier(fields.get("id"), "_id"), _number(fields.get("sender"), channel)
    if message_id is None and sender is None:
        raise Unreadable("the inbound message has neither _id nor sender")
    recipient = _number(fields.get("receiver"), channel)
    said = message_text(*map(fields.get, _TEXT_KEYS))
    media, marked = links.found(fields, named.own_names(channel))
    return Inbound(
        provider_message_id=message_id,
        identity=(message_id,) if message_id else (sender, recipient, said, *links.identity(media)),
        sender=sender,
        recipient=recipient,
        text=said,
        media=tuple(media),
        kind="mms" if media else "sms",
        metadata=links.mark(marked) if marked else {},
        provider_status=word(fields.get("status")),
    )


def _number(value: Any, channel: ChannelSettings) -> str | None:
    return national(value, channel.default_region or REGION)


def _granted(fields: Fields) -> bool | None:
    """What the envelope says, in either of its two forms; None where it says nothing."""
    status = fields.get("status")
    if isinstance(status, bool):
        return status
    said = (word(status) or word(inner(fields.get("meta")).get("status")) or "").lower()
    return {"true": True, "success": True, "false": False}.get(said)


def _accepted(fields: Fields) -> Outcome:
    """Contacts that were not taken are named with their reason, all others were."""
    taken = Outcome(Fate.ACCEPTED, status=Status.QUEUED, provider_message=sentence(fields.get("message")))
    data = inner(fields.get("data"))
    named = [
        (
            national(entry.get("contact") or entry.get("number"), REGION),
            identifier(entry.get("messageid"), "MessageId"),
        )
        for entry in map(inner, _list(data.get("queueresponse")))
    ]
    refused: dict[str, Outcome] = {}
    for entry in _list(data.get("invalidcontacts")):
        _refuse(refused, entry, ErrorClass.INVALID_NUMBER)
    for entry in _list(data.get("unsubscribecontacts")):
        _refuse(refused, entry, ErrorClass.OPTED_OUT)
    return batch.outcome(taken, named, taken, refused=refused, alone=len(named) + len(refused) == 1)


def _refuse(refused: dict[str, Outcome], entry: Any, error: ErrorClass) -> None:
    """An entry is an object with the reason, or the number alone."""
    fields = inner(entry) or {"contact": entry}
    number = national(fields.get("contact") or fields.get("number"), REGION)
    if number:
        refused[number] = Outcome(
            Fate.REFUSED,
            status=Status.REJECTED,
            provider_code=word(fields.get("errortype")),
            provider_message=sentence(fields.get("error")),
            error=error,
        )


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
