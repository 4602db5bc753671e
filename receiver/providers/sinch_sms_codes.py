"""The classes of the codes and words of Sinch SMS."""

from collections.abc import Iterator

from models.errors import ErrorClass

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


ERRORS = {code: error for error, codes in _CLASSES.items() for code in _codes(codes)}
