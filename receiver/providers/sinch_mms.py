"""Sinch MMS over the JSON API, ep/v2.

Sending: https://developers.sinch.com/docs/mms/api-reference/mms; what its postbacks say:
https://developers.sinch.com/docs/mms/api-reference/postback-notification-codes; inbound:
https://developers.sinch.com/docs/mms/api-reference/mms-mo-postbacks. Where those pages end, the pages of
Skycore are followed, whose platform has the same codes and fields: docs/providers/sinch_mms.md says where.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson

from models.errors import ErrorClass
from models.events import (
    Event,
    Inbound,
    MediaPart,
    Report,
    Request,
    TemplateReport,
    TemplateState,
    Unreadable,
)
from models.sends import Answer, Call, Fate, Hosted, Outcome, Problem, Submission
from models.status import FAILURES, Status
from receiver.config import ChannelSettings
from receiver.providers import answers, reading, sinch_mms_codes, sinch_mms_request, sinch_mms_slides
from receiver.providers.base import MEDIA_CHECK, Provider
from receiver.providers.reading import identifier, message_text, moment, number, sentence, text, word

DAY = 86400


Fields = Mapping[str, Any]


class SinchMms(Provider):
    """One POST sends, another stores; postbacks carry hyphenated keys, and a code that decides."""

    name = "sinch_mms"
    kinds = frozenset({"mms"})
    keys = {
        "api_key": "",
        "service_id": "",
        "base_url": "https://api.ci.mblox.com/ep/v2/",
        MEDIA_CHECK: "refuse",
    }
    needs_types = True
    echoes_reference = True
    reference_kinds = kinds
    max_expiry = 3 * DAY
    sender_options = ("from-mask",)
    max_option_ahead = {"fallback-sms-link-expiration": 365 * DAY}
    report_window = max_expiry + 2 * 3600
    saves_templates = True
    has_slides = True
    mms_of_text = True

    #: Upper case are codes, lower case the last word of ``status``, for postbacks without a code.
    #: N501, N502, E501 and E502 tell how a Device Discovery Message fared: of the message itself, nothing.
    statuses = {
        "N101": Status.SENT, "N013": Status.SENT, "N201": Status.SENT,
        "N102": Status.DELIVERED, "N202": Status.DELIVERED,
        "N103": Status.EXPIRED,
        "E101": Status.FAILED, "E201": Status.FAILED, "E202": Status.FAILED, "E999": Status.FAILED,
        "E102": Status.REJECTED, "E011": Status.REJECTED, "E012": Status.REJECTED, "E013": Status.REJECTED,
        "E100": Status.REJECTED,
        "sent": Status.SENT, "delivered": Status.DELIVERED, "delivered as sms": Status.DELIVERED,
        "expired": Status.EXPIRED, "failed": Status.FAILED, "rejected": Status.REJECTED,
        "not supported": Status.REJECTED, "unrecognised": Status.REJECTED, "unrecognized": Status.REJECTED,
    }  # fmt: skip
    errors = sinch_mms_codes.ERRORS
    templates = {"N003": TemplateState.READY} | dict.fromkeys(("E002", "E003", "E004"), TemplateState.FAILED)

    def misconfigured(self, channel: ChannelSettings) -> str | None:
        return sinch_mms_request.misconfigured(channel)

    def parse(self, request: Request, channel: ChannelSettings) -> list[Event]:
        return reading.each(request.body, self._event)

    def check(self, submission: Submission, channel: ChannelSettings) -> list[Problem]:
        return sinch_mms_request.problems(submission, channel, looks=self.looks(channel))

    def judge(self, hosted: Hosted) -> str | None:
        return sinch_mms_slides.judgement(hosted)

    def advise(self, submission: Submission, channel: ChannelSettings) -> list[Problem]:
        return list(sinch_mms_request.advice(submission))

    def check_recipient(self, submission: Submission, channel: ChannelSettings) -> list[Problem]:
        return list(sinch_mms_request.recipient_problems(submission))

    def call(self, submission: Submission, channel: ChannelSettings) -> Call:
        return Call(
            method="POST",
            url=channel.option("base_url") or self.keys["base_url"],
            headers={
                "x-api-key": channel.option("api_key"),
                "content-type": "application/json; charset=utf-8",
            },
            body=orjson.dumps(sinch_mms_request.fields(submission, channel)),
        )

    def outcome(self, answer: Answer) -> Outcome:
        try:
            fields = reading.keyed(reading.document(answer.body))
            verdict = (word(fields.get("status")) or "").lower()
            code = (word(fields.get("errorcode")) or "").upper()
            ids = [identifier(fields.get(key), key) for key in ("trackingid", "mmsid")]
        except Unreadable:
            return answers.by_http_status(answer)
        if verdict == "success":
            return Outcome(
                fate=Fate.ACCEPTED,
                provider_message_ids=(ids[0],) if ids[0] else (),
                provider_template_id=ids[1],
                status=Status.QUEUED,
                provider_message=sentence(fields.get("statusdetails")),
            )
        said = sentence(fields.get("errorinfo")) or sentence(fields.get("statusdetails"))
        if not code and (verdict != "failure" or answer.status in (429, 503)):
            return replace(answers.by_http_status(answer), provider_message=said)
        later = code in sinch_mms_codes.AGAIN_LATER
        return Outcome(
            fate=Fate.THROTTLED if later else Fate.REFUSED,
            status=None if later else Status.REJECTED,
            provider_code=code or None,
            provider_message=said,
            error=self.errors.get(code, ErrorClass.UNKNOWN),
            retry_after=answers.pause(answer) if later else None,
        )

    def _event(self, fields: Fields) -> Event:
        code = word(fields.get("code"))
        if code is None and (word(fields.get("origin")) or "").upper() == "MMS_MO":
            return _inbound(fields, None)
        if code is not None and code.upper() == "N401":
            return _inbound(fields, code)
        if code is not None and code.upper() in self.templates:
            return self._template(fields, code)
        return self._report(fields, code)

    def _report(self, fields: Fields, code: str | None) -> Report:
        tracking_id = identifier(fields.get("trackingid"), "tracking-id")
        reference = identifier(fields.get("clientreference"), "client-reference")
        if tracking_id is None and reference is None:
            raise Unreadable("the report has neither tracking-id nor client-reference")
        said, sent_as = word(fields.get("status")), (word(fields.get("sentas")) or "").lower()
        status, reason = self._verdict(code, said)
        failed = status in FAILURES
        occurred_at = moment(fields.get("timestamp"))
        time = occurred_at.isoformat() if occurred_at else word(fields.get("timestamp"))
        return Report(
            provider_message_id=tracking_id,
            provider_status=code or said,
            status=status,
            identity=(tracking_id or reference, code and code.upper(), _ending(said), sent_as, time),
            client_reference=reference,
            provider_code=code if failed else None,
            provider_message=sentence(fields.get("statusdetails")) or said,
            error=self.errors.get(reason, ErrorClass.UNKNOWN) if failed else None,
            sender=number(fields.get("from")),
            recipient=number(fields.get("to")),
            kind="mms",
            delivered_as=_delivered_as(reason, sent_as) if status is Status.DELIVERED else None,
            occurred_at=occurred_at,
        )

    def _verdict(self, code: str | None, said: str | None) -> tuple[Status | None, str]:
        """The status, and the code or word that decided it.

        N102 means that the status was updated, as a rule to delivered; its word may also be "Message
        Sent/Expired" or "Message Sent/Rejected". So a word of failure goes before a code of success.
        """
        ending = _ending(said)
        deciding = code.upper() if code else ending
        status = self.statuses.get(deciding)
        if status is not None and status not in FAILURES and self.statuses.get(ending) in FAILURES:
            return self.statuses[ending], ending
        return status, deciding

    def _template(self, fields: Fields, code: str) -> TemplateReport:
        mms_id = identifier(fields.get("mmsid"), "mms-id")
        tracking_id = identifier(fields.get("trackingid"), "tracking-id")
        reference = identifier(fields.get("clientreference"), "client-reference")
        if mms_id is None and tracking_id is None and reference is None:
            raise Unreadable("the template event has neither mms-id nor client-reference nor tracking-id")
        said = word(fields.get("status"))
        doomed = self.statuses.get(_ending(said)) in FAILURES
        state = TemplateState.FAILED if doomed else self.templates[code.upper()]
        return TemplateReport(
            provider_template_id=mms_id,
            state=state,
            provider_status=code,
            client_reference=reference,
            error=self.errors.get(code.upper(), ErrorClass.MEDIA_ERROR)
            if state is TemplateState.FAILED
            else None,
            provider_message=sentence(fields.get("statusdetails")) or said,
            provider_message_id=tracking_id,
        )


def _inbound(fields: Fields, code: str | None) -> Inbound:
    tracking_id = identifier(fields.get("trackingid"), "tracking-id")
    sender, recipient = number(fields.get("from")), number(fields.get("to"))
    if tracking_id is None and sender is None:
        raise Unreadable("the inbound message has neither tracking-id nor from")
    files = reading.listed(fields.get("content"), "file")
    urls = [url for url in files if reading.extension(url) not in ("smil", "smi")]
    metadata = {"keyword": word(fields.get("keyword")), "operator-id": word(fields.get("operatorid"))}
    return Inbound(
        provider_message_id=tracking_id,
        identity=(tracking_id,) if tracking_id else (sender, recipient, word(fields.get("timestamp")), *urls),
        sender=sender,
        recipient=recipient,
        participants=tuple(number(one) or one for one in reading.listed(fields.get("copyto"), "number")),
        # the page knows no such field: the text is a .txt among the files
        text=message_text(fields.get("messagetext"), fields.get("text")),
        subject=text(fields.get("messagesubject")),
        media=tuple(MediaPart(url, reading.content_type(url)) for url in urls),
        kind="mms",
        provider_status=code,
        occurred_at=moment(fields.get("timestamp")),
        metadata={name: value for name, value in metadata.items() if value},
    )


def _ending(said: str | None) -> str:
    """ "Message Sent/Not Supported" and "Not Supported" are one word in two generations of pages."""
    last = " ".join((said or "").lower().rpartition("/")[2].split())
    return last.removeprefix("message ")


def _delivered_as(reason: str, sent_as: str) -> str | None:
    if reason in ("N202", "delivered as sms"):
        return "sms"
    return sent_as if sent_as in ("mms", "sms") else None
