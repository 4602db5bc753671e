"""What a callback proves itself with: Basic, Bearer, or Sinch's signature."""

import base64
import hashlib
import hmac
from time import time
from uuid import uuid4

from simulator.accounts import Account


def credentials(account: Account, body: bytes) -> dict[str, str]:
    """The headers of one callback; every try of it carries the same ones."""
    headers = {}
    if account.basic:
        headers["authorization"] = f"Basic {base64.b64encode(account.basic.encode()).decode()}"
    elif account.bearer:
        headers["authorization"] = f"Bearer {account.bearer}"
    if account.webhook_secret:
        headers |= _signature(account.webhook_secret, body)
    return headers


def _signature(secret: str, body: bytes) -> dict[str, str]:
    """Base64 of HMAC-SHA256 over the body, a nonce and the Unix time, with dots between.

    As the tests of Sinch's own SDKs have it (https://github.com/sinch/sinch-sdk-node,
    packages/sms/tests/rest/v1/callbacks).
    """
    nonce, timestamp = uuid4().hex, str(int(time()))
    signed = hmac.digest(
        secret.encode(), b".".join((body, nonce.encode(), timestamp.encode())), hashlib.sha256
    )
    return {
        "x-sinch-webhook-signature": base64.b64encode(signed).decode(),
        "x-sinch-webhook-signature-algorithm": "HmacSHA256",
        "x-sinch-webhook-signature-nonce": nonce,
        "x-sinch-webhook-signature-timestamp": timestamp,
    }
