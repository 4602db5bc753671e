"""What every HTTP answer says, whatever the carrier: its status, and when to come again."""

from models.errors import ErrorClass
from models.sends import Answer, Fate, Outcome
from models.status import Status
from receiver import retry_after

#: 401 is said of who calls, 403 of what that one may do
_REFUSALS = {401: ErrorClass.CREDENTIALS_REFUSED, 403: ErrorClass.ACCOUNT_PROBLEM}


def pause(answer: Answer) -> float | None:
    """Returns the seconds of rest that *answer* asks for, a day at most; None where it asks for none."""
    return retry_after.seconds(answer.headers, answer.received_at)


def by_http_status(answer: Answer) -> Outcome:
    """Returns what an answer means of which only the HTTP status can be read: something before the API gave
    it."""
    code = f"HTTP {answer.status}"
    # A proxy that loses a request on its way says 502 or 504, and some say 503; it may have arrived all the
    # same. A 503 that tells to come again is a server that took nothing, whether or not its time can be read.
    if answer.status in (408, 429) or (answer.status == 503 and retry_after.given(answer.headers)):
        return Outcome(
            Fate.THROTTLED, provider_code=code, error=ErrorClass.THROTTLED, retry_after=pause(answer)
        )
    if 300 <= answer.status < 500:
        error = _REFUSALS.get(answer.status, ErrorClass.UNKNOWN)
        return Outcome(Fate.REFUSED, status=Status.REJECTED, provider_code=code, error=error)
    return Outcome(Fate.UNDECIDED, provider_code=code)
