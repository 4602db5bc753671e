"""What Swift API's words and error codes mean, all in lower case: its pages write them either way.

https://swift-sms-2-0-docs.pages.dev/appendix/error-codes lists the codes. A report may carry them as well as
words; of the words its page prints ``delivered`` alone.
"""

from models.errors import ErrorClass
from models.status import Status

_SMS_OFF = "no_sms_provider sms_disabled sms_unavailable sms_pending"
_MMS_OFF = "mms_disabled mms_unavailable mms_pending"
_SWITCH_OFF = "not_found sms_disabled mms_disabled no_sms_protocol"


def _codes(prefix: str, endings: str) -> str:
    return " ".join(prefix + ending for ending in endings.split())


_PROGRESS = {
    "new": Status.QUEUED, "queued": Status.QUEUED, "accepted": Status.QUEUED, "ok": Status.QUEUED,
    "sent": Status.SENT, "delivered": Status.DELIVERED,
    "unknown": Status.UNCONFIRMED,
}  # fmt: skip
# "host" is our side of a message, "remote" the other one
_FAILURES = (
    (Status.EXPIRED, ErrorClass.EXPIRED, "expired"),
    (Status.FAILED, ErrorClass.UNKNOWN, "failed general_error"),
    (Status.FAILED, ErrorClass.UNKNOWN, "forward_request_not_found request_ownership_changed"),
    (Status.FAILED, ErrorClass.PROVIDER_OUTAGE, "temporary_error internal_error"),
    (Status.FAILED, ErrorClass.CARRIER_ERROR, "upstream_error response_error"),
    (Status.FAILED, ErrorClass.THROTTLED, "too_many_dispatches"),
    (Status.UNDELIVERED, ErrorClass.UNKNOWN, "undelivered undeliverable"),
    (Status.UNDELIVERED, ErrorClass.CARRIER_ERROR, "recipient_error"),
    (Status.UNDELIVERED, ErrorClass.CARRIER_ERROR, "recipient_deliver_error recipient_system_error"),
    (Status.REJECTED, ErrorClass.UNKNOWN, "rejected time_restricted"),
    (Status.REJECTED, ErrorClass.CONTENT_REJECTED, "bad_message unsupported_format"),
    (Status.REJECTED, ErrorClass.SENDER_NOT_ALLOWED, _codes("host_did_", "not_found inactive")),
    (Status.REJECTED, ErrorClass.SENDER_NOT_ALLOWED, _codes("host_did_", f"{_SMS_OFF} {_MMS_OFF}")),
    (Status.REJECTED, ErrorClass.UNKNOWN_SUBSCRIBER, _codes("remote_did_", "not_found inactive")),
    (Status.REJECTED, ErrorClass.UNSUPPORTED_BY_RECIPIENT, _codes("remote_did_", f"{_SMS_OFF} {_MMS_OFF}")),
    (Status.REJECTED, ErrorClass.NO_ROUTE, _codes("host_switch_", _SWITCH_OFF)),
    (Status.REJECTED, ErrorClass.NO_ROUTE, _codes("remote_switch_", _SWITCH_OFF)),
    (Status.REJECTED, ErrorClass.ACCOUNT_PROBLEM, "host_switch_api_key_not_found"),
    (Status.REJECTED, ErrorClass.ACCOUNT_PROBLEM, "remote_switch_api_key_not_found"),
    (Status.REJECTED, ErrorClass.ACCOUNT_PROBLEM, _codes("host_subscription_", "inactive rejected blocked")),
    # not on the list, but in the examples of the page on sending
    (Status.REJECTED, ErrorClass.ACCOUNT_PROBLEM, "account_mms_disabled"),
)

STATUSES = _PROGRESS | {code: status for status, _, codes in _FAILURES for code in codes.split()}
ERRORS = {code: error for _, error, codes in _FAILURES for code in codes.split()}

_PASSING = frozenset(["temporary_error", "internal_error", "upstream_error", "too_many_dispatches"])


def passes(code: str) -> bool:
    """Whether a send that was refused with *code* may fare better later. What was refused was never queued,
    so nothing is sent twice."""
    return code in _PASSING or code.endswith(("_pending", "_unavailable"))
