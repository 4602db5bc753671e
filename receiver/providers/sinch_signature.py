"""The HMAC by which Sinch signs its callbacks: its SMS API since 2025, its Conversation API before.

https://developers.sinch.com/docs/conversation/callbacks; the SDKs of Sinch compute the same for SMS.
"""

import base64
import hmac
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from models.events import Request

# The last retry comes 22 h 45 min after the first try, and nothing says that retries are signed anew. A
# request repeated within the window is a resend to us, and changes nothing.
WINDOW = timedelta(hours=24)
#: what a request holds to which nobody gave a clock
NO_CLOCK = datetime.fromtimestamp(0, UTC)

_HEADER = "x-sinch-webhook-signature"
_UNIX_SECONDS = re.compile(r"\d{1,11}", re.ASCII)


def fits(request: Request, secrets: Sequence[str]) -> bool:
    """Returns whether whoever knows one of *secrets* signed the raw body of *request*, within `WINDOW` of its
    arrival.

    The algorithm is ours to say: a header that names another one than HmacSHA256 is refused, not followed.
    """
    nonce, timestamp = (request.headers.get(f"{_HEADER}-{part}", "") for part in ("nonce", "timestamp"))
    algorithm = request.headers.get(f"{_HEADER}-algorithm", "HmacSHA256").strip().lower()
    signed = b".".join([request.body, _bytes(nonce), _bytes(timestamp)])
    given = _bytes(request.headers.get(_HEADER, "").strip())
    # all are compared, so that the time does not tell which one it was; an empty one would let in whoever
    # signs with nothing
    genuine = [hmac.compare_digest(given, _signature(one, signed)) and bool(one) for one in secrets]
    return any(genuine) and algorithm == "hmacsha256" and _recent(timestamp, request.received_at)


def _signature(secret: str, signed: bytes) -> bytes:
    return base64.b64encode(hmac.digest(secret.encode(), signed, "sha256"))


def _bytes(header: str) -> bytes:
    # HTTP libraries read a header's bytes as Latin-1, whatever they were
    return header.encode("latin-1", "replace")


def _recent(timestamp: str, received_at: datetime) -> bool:
    if received_at == NO_CLOCK:
        return True
    if not _UNIX_SECONDS.fullmatch(timestamp):
        return False
    return abs(received_at.timestamp() - int(timestamp)) <= WINDOW.total_seconds()
