"""Why a message failed, in words that hold across carriers, and what a person can do about it.

The carrier's own code and text are always kept beside the class: the class is an addition, never a
replacement. What nobody has mapped is ``unknown``, never a guess.
"""

from dataclasses import dataclass
from enum import StrEnum


class ErrorClass(StrEnum):
    """Least specific first: of two failures equally high on the ladder, the later class here is shown."""

    UNKNOWN = "unknown"
    CARRIER_ERROR = "carrier_error"
    PROVIDER_OUTAGE = "provider_outage"
    EXPIRED = "expired"
    THROTTLED = "throttled"
    QUOTA_EXCEEDED = "quota_exceeded"
    NO_ROUTE = "no_route"
    ACCOUNT_PROBLEM = "account_problem"
    SENDER_NOT_ALLOWED = "sender_not_allowed"
    CONTENT_REJECTED = "content_rejected"
    CONTENT_TOO_LARGE = "content_too_large"
    MEDIA_ERROR = "media_error"
    SPAM_FILTERED = "spam_filtered"
    HANDSET_UNREACHABLE = "handset_unreachable"
    UNSUPPORTED_BY_RECIPIENT = "unsupported_by_recipient"
    INVALID_NUMBER = "invalid_number"
    LANDLINE = "landline"
    UNKNOWN_SUBSCRIBER = "unknown_subscriber"
    RECIPIENT_BLOCKED = "recipient_blocked"
    OPTED_OUT = "opted_out"
    DUPLICATE = "duplicate"
    CANCELED = "canceled"
    # at the end, because the database holds places in this list; what is refused for it has no other reason
    CREDENTIALS_REFUSED = "credentials_refused"


SPECIFICITY = {error: rank for rank, error in enumerate(ErrorClass)}
_NAMED = {error.value: error for error in ErrorClass}


def class_of(name: str | None) -> ErrorClass:
    """Returns the class that is stored as *name*; `ErrorClass.UNKNOWN` for none, and for one of a later version
    that writes to the same database."""
    return _NAMED.get(name or "", ErrorClass.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Advice:
    """What support should tell the caller. *retry* is ``never``, ``later`` or ``fix`` (after a change)."""

    retry: str
    next_step: str


_ADVICE = {
    ErrorClass.UNKNOWN: Advice("later", "The carrier gave no reason that has a class here, or no report came. What it says (code, message) goes before this. Ask it with its message id before you send again: a message without a report may have arrived."),
    ErrorClass.CARRIER_ERROR: Advice("later", "The mobile carrier refused or failed without a reason. Try again later, a few times at most."),
    ErrorClass.PROVIDER_OUTAGE: Advice("later", "The provider had a fault of its own. Send again later."),
    ErrorClass.EXPIRED: Advice("fix", "The message could not be delivered before it expired. Send again, with a longer expiry if it still matters."),
    ErrorClass.THROTTLED: Advice("later", "Too many messages in too short a time. Send again later, or ask for a higher rate."),
    ErrorClass.QUOTA_EXCEEDED: Advice("later", "A daily limit or spending cap was reached. Raise it, or wait until it starts anew."),
    ErrorClass.NO_ROUTE: Advice("fix", "The provider has no route to this network. Ask for the country or carrier to be enabled."),
    ErrorClass.ACCOUNT_PROBLEM: Advice("fix", "The account with the provider may not do this. Check its funds, permissions and enabled features."),
    ErrorClass.SENDER_NOT_ALLOWED: Advice("fix", "The sender number is not provisioned or registered for this traffic. Register it, or send from another number."),
    ErrorClass.CONTENT_REJECTED: Advice("fix", "The content was refused as malformed or forbidden. Change the message and send it again."),
    ErrorClass.CONTENT_TOO_LARGE: Advice("fix", "The text or the media is over the limit. Shorten it or make it smaller."),
    ErrorClass.MEDIA_ERROR: Advice("fix", "A media file could not be fetched or converted. Check its address, its Content-Length and its type."),
    ErrorClass.SPAM_FILTERED: Advice("fix", "A content or volume filter stopped the message. Change the wording and check the campaign's registration."),
    ErrorClass.HANDSET_UNREACHABLE: Advice("later", "The phone was off or out of coverage; the carrier stopped trying. Sending again later may work."),
    ErrorClass.UNSUPPORTED_BY_RECIPIENT: Advice("fix", "The phone or its plan cannot receive this kind of message. Send plain SMS, or reach the person another way."),
    ErrorClass.INVALID_NUMBER: Advice("fix", "The number is malformed or not in the numbering plan. Correct it."),
    ErrorClass.LANDLINE: Advice("never", "The number is a landline and cannot receive messages."),
    ErrorClass.UNKNOWN_SUBSCRIBER: Advice("never", "The number is not in service. Do not send to it again."),
    ErrorClass.RECIPIENT_BLOCKED: Advice("never", "The number is barred by its owner or operator. Do not send to it again."),
    ErrorClass.OPTED_OUT: Advice("never", "The person asked not to be written to. Write again only after they opt in."),
    ErrorClass.DUPLICATE: Advice("never", "The provider suppressed the message as a duplicate of an earlier one."),
    ErrorClass.CREDENTIALS_REFUSED: Advice("fix", "The provider does not know the API key of this channel, or none was sent. Correct the key, then send again: nothing was sent with it."),
    ErrorClass.CANCELED: Advice("never", "The message was canceled before it reached the carrier."),
}  # fmt: skip


def advice(error: ErrorClass) -> Advice:
    return _ADVICE[error]
