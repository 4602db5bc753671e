"""Standard Webhooks: the headers that a subscriber's secret signs."""

import base64
import hmac
from collections.abc import Sequence
from uuid import UUID


def headers(event_id: UUID, moment: int, body: bytes, keys: Sequence[bytes]) -> dict[str, str]:
    """The headers of a try at *moment*, in Unix seconds; during a rotation each of *keys* signs."""
    signed = b"%s.%d.%s" % (str(event_id).encode(), moment, body)
    signatures = (base64.b64encode(hmac.digest(key, signed, "sha256")).decode() for key in keys)
    return {
        "content-type": "application/json",
        "webhook-id": str(event_id),
        "webhook-timestamp": str(moment),
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }
