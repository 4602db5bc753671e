"""The HMAC by which Sinch signs its callbacks: its SMS API since 2025, its Conversation API before.

https://developers.sinch.com/docs/conversation/callbacks; the SDKs of Sinch compute the same for SMS.
"""

import base64
import hmac
import re
from datetime import UTC, datetime, timedelta

from models.events import Request

# The last retry comes 22 h 45 min after the first try, and nothing says that retries are signed anew. A
# request repeated within the window is a resend to us, and changes nothing.
WINDOW = timedelta(hours=24)
#: what a request holds to which nobody gave a clock
NO_CLOCK = datetime.fromtimestamp(0, UTC)

_HEADER = "x-sinch-webhook-signature"
_UNIX_SECONDS = re.compile(r"\d{1,11}", re.ASCII)


def fits(request: Request, secret: str) -> bool:
    """Whether whoever knows *secret* signed the raw body of *request*, within `WINDOW` of its arrival.

    The algorithm is ours to say: a header that names another one than HmacSHA256 is refused, not followed.
    """
    nonce, timestamp = (request.headers.get(f"{_HEADER}-{part}", "") for part in ("nonce", "timestamp"))
    algorithm = request.headers.get(f"{_HEADER}-algorithm", "HmacSHA256").strip().lower()
    signed = b".".join([request.body, _bytes(nonce), _bytes(timestamp)])
    expected = base64.b64encode(hmac.digest(secret.encode(), signed, "sha256"))
    given = _bytes(request.headers.get(_HEADER, "").strip())
    # an empty secret would let in whoever signs with nothing
    genuine = hmac.compare_digest(given, expected) and bool(secret)
    return genuine and algorithm == "hmacsha256" and _recent(timestamp, request.received_at)


def _bytes(header: str) -> bytes:
    # HTTP libraries read a header's bytes as Latin-1, whatever they were
    return header.encode("latin-1", "replace")


def _recent(timestamp: str, received_at: datetime) -> bool:
    if received_at == NO_CLOCK:
        return True
    if not _UNIX_SECONDS.fullmatch(timestamp):
        return False
    return abs(received_at.timestamp() - int(timestamp)) <= WINDOW.total_seconds()
