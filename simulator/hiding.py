"""Hides accounts' secrets in what the control routes answer."""

import base64
import json
from collections.abc import Iterable, Iterator
from urllib.parse import unquote, urlsplit

from simulator.accounts import Account

HIDDEN = "…"
#: characters; a shorter one would be hidden where it is part of a word, and is written nowhere by us
SHORTEST = 8


def hidden(answer: bytes, accounts: Iterable[Account]) -> bytes:
    """Returns *answer*, a JSON text, without the secrets and callback tokens of *accounts*."""
    secrets = {secret for account in accounts for secret in _secrets(account) if len(secret) >= SHORTEST}
    for secret in sorted(secrets, key=len, reverse=True):
        # bodies that came from elsewhere stand in the answer as they were written
        for written in (json.dumps(secret), json.dumps(secret, ensure_ascii=False)):
            answer = answer.replace(written[1:-1].encode(errors="replace"), HIDDEN.encode())
    return answer


def address(url: str | None) -> str | None:
    """Returns a callback URL without what may be secret in it: user, last step of the path, query."""
    if url is None:
        return None
    parts = urlsplit(url)
    _, _, host = parts.netloc.rpartition("@")
    return f"{parts.scheme}://{host}{parts.path.rpartition('/')[0]}/{HIDDEN}"


def _secrets(account: Account) -> Iterator[str]:
    for secret in (account.api_key, account.basic, account.bearer, account.webhook_secret):
        yield secret or ""
    if account.basic:
        yield base64.b64encode(account.basic.encode()).decode()
    if account.callback_url:
        parts = urlsplit(account.callback_url)
        for part in (parts.path.rpartition("/")[2], parts.query, parts.password or ""):
            yield part
            yield unquote(part)
