"""What every HTTP answer says, whatever the carrier: its status, and when to come again."""

import re
from collections.abc import Mapping

from models.errors import ErrorClass
from models.events import Answer, Fate, Outcome
from models.status import Status

LONGEST_PAUSE = 86400.0

_SECONDS = re.compile(r"\d{1,9}(\.\d{1,9})?", re.ASCII)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds, a day at most. A date is None: nobody here has a clock to hold it against."""
    for name, value in headers.items():
        if name.lower() == "retry-after" and _SECONDS.fullmatch(value.strip()):
            return min(float(value), LONGEST_PAUSE)
    return None


def by_http_status(answer: Answer) -> Outcome:
    """What an answer means of which only the HTTP status can be read: something before the API gave it."""
    code, pause = f"HTTP {answer.status}", retry_after(answer.headers)
    # A proxy that loses a request on its way says 502 or 504, and some say 503; it may have arrived all the
    # same. A 503 that names a time to come again is a server that took nothing.
    if answer.status in (408, 429) or (answer.status == 503 and pause is not None):
        return Outcome(Fate.THROTTLED, provider_code=code, error=ErrorClass.THROTTLED, retry_after=pause)
    if 300 <= answer.status < 500:
        error = ErrorClass.ACCOUNT_PROBLEM if answer.status in (401, 403) else ErrorClass.UNKNOWN
        return Outcome(Fate.REFUSED, status=Status.REJECTED, provider_code=code, error=error)
    return Outcome(Fate.UNDECIDED, provider_code=code)
