"""The classes of the codes and words of Sinch MMS.

The words are those of ``status``, in lower case, for
postbacks without a code.
"""

from models.errors import ErrorClass

_CLASSES = {
    ErrorClass.INVALID_NUMBER: "E110",
    ErrorClass.SENDER_NOT_ALLOWED: "E111, E115",
    ErrorClass.RECIPIENT_BLOCKED: "E114",
    ErrorClass.UNSUPPORTED_BY_RECIPIENT: "not supported",
    ErrorClass.THROTTLED: "E106, E113, E120, E626",
    ErrorClass.CREDENTIALS_REFUSED: "E104",
    ErrorClass.ACCOUNT_PROBLEM: "E103, E105, E107, E112, E627, E713",
    ErrorClass.NO_ROUTE: "E619, E628, E650, E651",
    ErrorClass.PROVIDER_OUTAGE: "E101, E201, E503, E618, E999",
    ErrorClass.CONTENT_TOO_LARGE: "E225, E228, E331, E332, E333, E334, E335, E336, E337, E338",
    ErrorClass.MEDIA_ERROR: "E002, E003, E004, E012, E013, E341, E343, E351, E352, E353, "
    "E355, E356, E357, E358, E629",
    ErrorClass.CARRIER_ERROR: "E102, E202, failed, rejected, unrecognised, unrecognized",
    ErrorClass.EXPIRED: "N103, expired",
    ErrorClass.CONTENT_REJECTED: "E011, E100, E108, E212, E213, E214, E223, E224, E226, E227, E229, "
    "E230, E241, E311, E312, E313, E314, E620, E622",
}  # fmt: skip

ERRORS = {code: error for error, codes in _CLASSES.items() for code in codes.split(", ")}
# the carrier refuses now and says so, hence nothing was sent: encoding, rates, and two faults of its own
AGAIN_LATER = frozenset(["E106", "E113", "E120", "E503", "E618", "E626"])
