"""Cellcast (Australia) over its API v3.

Sending, polling and both callbacks: https://support.cellcast.com.au/docs/docly-documentation/api/; the newer
platform of the same carrier has other words and shapes and is `receiver.providers.cellcast_v1`.
"""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import orjson

from models.errors import ErrorClass
from models.events import Event, Inbound, Report, Request, Unreadable
from models.sends import Answer, Call, Outcome, Problem, Submission
from models.status import FAILURE_BITS, STATUS_BIT, Status
from receiver.config import ChannelSettings
from receiver.providers import (
    batch,
    cellcast_answers,
    cellcast_inbound,
    cellcast_request,
    multipart,
    named,
    reading,
)
from receiver.providers.cellcast_common import REGION, CellcastApi
from receiver.providers.reading import identifier, inner, national, word

#: the values of the channel's key ``auth``
APPKEY, BASIC = "appkey", "basic"
#: the lists of replies; an entry does not say on which it stands
SMS, MMS = "sms", "mms"

Fields = Mapping[str, Any]


class Cellcast(CellcastApi):
    """JSON or a form sends to a thousand numbers; reports come as an array, replies lack a ``to``."""

    name = "cellcast"
    keys = {"api_key": "", "auth": APPKEY, "base_url": "https://cellcast.com.au/api/v3", "fields": {}}
    lists = (SMS, MMS)
    echoes_reference = True
    reference_kinds = frozenset({"sms"})
    rate = 15.0

    statuses = {
        "queued": Status.QUEUED, "dispatched": Status.SENT, "delivered": Status.DELIVERED,
        "expired": Status.EXPIRED, "aborted": Status.FAILED, "failed": Status.FAILED,
        "rejected": Status.REJECTED, "unknown": Status.UNCONFIRMED,
    }  # fmt: skip
    #: upper case are words of ``meta.status``, lower case is a report's word: reports carry no code
    errors = {**cellcast_answers.ERRORS, "expired": ErrorClass.EXPIRED}

    def misconfigured(self, channel: ChannelSettings) -> str | None:
        if _auth(channel) not in (APPKEY, BASIC):
            return f'auth must be "{APPKEY}" or "{BASIC}"; change it or leave it out.'
        return named.misconfigured(channel, cellcast_inbound.NAMES)

    def carries(self, channel: ChannelSettings, key: str) -> bool:
        # Basic writes any character as letters and digits
        return channel.option(key).isprintable() if _auth(channel) == BASIC else super().carries(channel, key)

    def proof(self, channel: ChannelSettings) -> dict[str, str]:
        """The tables of the pages have the header ``APPKEY``, their text demands HTTP Basic: the key as user
        and password, or as the user alone."""
        key = channel.option("api_key")
        if _auth(channel) == APPKEY:
            return {"APPKEY": key}
        pair = key if ":" in key else f"{key}:"
        return {"authorization": f"Basic {b64encode(pair.encode()).decode()}"}

    def parse(self, request: Request, channel: ChannelSettings) -> list[Event]:
        return reading.each(request.body, lambda fields: self._event(fields, channel))

    def check(self, submission: Submission, channel: ChannelSettings) -> list[Problem]:
        return cellcast_request.problems(submission)

    def check_recipient(self, submission: Submission, channel: ChannelSettings) -> list[Problem]:
        return list(cellcast_request.recipient_problems(submission))

    def call(self, submission: Submission, channel: ChannelSettings) -> Call:
        if submission.kind == "sms":
            return self.call_to("POST", "send-sms", channel, cellcast_request.sms(submission))
        boundary = submission.id.hex
        body = cellcast_request.mms(submission, boundary)
        return self.call_to("POST", "send-mms", channel, body, multipart.content_type(boundary))

    def outcome(self, answer: Answer) -> Outcome:
        return cellcast_answers.outcome(answer, self.errors)

    def poll(self, channel: ChannelSettings, page: int, listed: str = SMS) -> Call | None:
        return self.call_to("GET", f"get-responses?page={page}&type={listed}", channel)

    def polled(self, answer: Answer, channel: ChannelSettings, listed: str = "") -> tuple[list[Event], bool]:
        fields = cellcast_answers.granted(answer)
        data = inner(fields.get("data"))
        responses, page = data.get("responses"), inner(data.get("page"))
        if not responses or not isinstance(responses, list):
            return [], False  # "" when there are none
        events: list[Event] = reading.each_of(
            responses, lambda response: cellcast_inbound.inbound(response, channel, listed or SMS)
        )
        pages, number = batch.count(page.get("count")), batch.count(page.get("number"))
        return events, pages is not None and number is not None and number < pages

    def refusal(self, answer: Answer) -> Outcome | None:
        return cellcast_answers.refusal(answer, self.errors)

    def collected(self, events: Sequence[Event], channel: ChannelSettings) -> Call | None:
        ids = [event.provider_message_id for event in events if isinstance(event, Inbound)]
        read = orjson.dumps({"message_id": [one for one in ids if one]})
        return self.call_to("POST", "inbound-read-bulk", channel, read) if any(ids) else None

    def ask(self, provider_message_id: str, recipient: str, channel: ChannelSettings) -> Call | None:
        return self.call_to("GET", f"get-sms?message_id={quote(provider_message_id, safe='')}", channel)

    def told(self, answer: Answer, channel: ChannelSettings) -> list[Event]:
        data = cellcast_answers.granted(answer).get("data")
        if not data:
            return []
        return reading.each_of(data, lambda fields: self._report(fields, _region(channel)))

    def _event(self, fields: Fields, channel: ChannelSettings) -> Event:
        if cellcast_inbound.is_inbound(fields, channel):
            return cellcast_inbound.inbound(fields, channel)
        return self._report(fields, _region(channel))

    def _report(self, fields: Fields, region: str) -> Report:
        message_id = identifier(fields.get("messageid"), "message_id")
        reference = identifier(fields.get("customstring"), "custom_string")
        if message_id is None and reference is None:
            raise Unreadable("the report has neither message_id nor custom_string")
        said = word(fields.get("status"))
        recipient = national(fields.get("recipient") or fields.get("to"), region)
        status = self.statuses.get((said or "").lower())
        failed = status is not None and bool(STATUS_BIT[status] & FAILURE_BITS)
        named = (message_id,) if message_id else (reference, recipient)
        return Report(
            provider_message_id=message_id,
            provider_status=said,
            status=status,
            identity=(*named, said and said.lower()),
            client_reference=reference,
            error=self.errors.get((said or "").lower(), ErrorClass.UNKNOWN) if failed else None,
            recipient=recipient,
        )


def _auth(channel: ChannelSettings) -> str:
    return channel.option("auth") or APPKEY


def _region(channel: ChannelSettings) -> str:
    return channel.default_region or REGION
