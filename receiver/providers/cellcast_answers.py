"""Cellcast's answers, API v3: ``{"meta": {"code", "status"}, "msg", "data"}`` to every call."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from models.errors import ErrorClass
from models.events import Unreadable
from models.sends import Answer, Fate, Outcome
from models.status import Status
from receiver.providers import answers, batch, reading
from receiver.providers.cellcast_common import REGION
from receiver.providers.reading import identifier, inner, national, sentence, word

Fields = Mapping[str, Any]


#: what the API refuses a call with, whatever HTTP says; the words of its older pages are among them
ERRORS = {
    "OVER_LIMIT": ErrorClass.THROTTLED,
    "AUTH_FAILED": ErrorClass.CREDENTIALS_REFUSED,
    "AUTH_FAILED_NO_DATA": ErrorClass.CREDENTIALS_REFUSED,
    "FIELD_EMPTY": ErrorClass.CONTENT_REJECTED,
    "FIELD_INVALID": ErrorClass.CONTENT_REJECTED,
    "RECIPIENTS_ERROR": ErrorClass.INVALID_NUMBER,
    "NOT_FOUND": ErrorClass.UNKNOWN,
    "NO_ACCESS": ErrorClass.ACCOUNT_PROBLEM,
    "LEDGER_ERROR": ErrorClass.ACCOUNT_PROBLEM,
    "BAD_CALLER_ID": ErrorClass.SENDER_NOT_ALLOWED,
    "KEY_EXISTS": ErrorClass.DUPLICATE,
    "NOT_IMPLEMENTED": ErrorClass.UNKNOWN,
}
SUCCESS = "SUCCESS"

_CREDIT = re.compile(r"\b(credits?|balance|funds?)\b", re.IGNORECASE)
_OPTED_OUT = re.compile(r"\bunsubscribe|\bopt(ed)?[- ]?out", re.IGNORECASE)


def verdict(fields: Fields) -> str:
    """Returns ``meta.status``, or ``error.code`` where that one is an error: the documents name both, and a
    call succeeded only if neither is one. Empty where there is none."""
    words = [
        (word(value) or "").upper()
        for value in (inner(fields.get("meta")).get("status"), inner(fields.get("error")).get("code"))
    ]
    return next((said for said in words if said not in ("", SUCCESS)), max(words))


def description(fields: Fields) -> str | None:
    """Returns what is said beside the verdict: ``error.description``, else ``msg``."""
    return sentence(inner(fields.get("error")).get("description")) or sentence(fields.get("msg"))


def outcome(answer: Answer, errors: Mapping[str, ErrorClass]) -> Outcome:
    """Returns what the answer to a send means: it was taken if HTTP and the verdict both say so. *errors* are
    those that the carrier's pages name."""
    try:
        fields = reading.keyed(reading.document(answer.body))
        said, by_http = verdict(fields), answers.by_http_status(answer)
        if said == SUCCESS and 200 <= answer.status < 300:
            return accepted(fields)
    except Unreadable:
        return answers.by_http_status(answer)
    code, words = said or None, description(fields)
    error = _class(said, words or "", errors)
    if said == SUCCESS and by_http.fate is Fate.THROTTLED and answer.status != 429:
        # "come again" and "done" at once: whoever came again might send it twice
        return Outcome(Fate.UNDECIDED, provider_code=by_http.provider_code, provider_message=words)
    if error is ErrorClass.THROTTLED or by_http.fate is Fate.THROTTLED:
        return replace(
            by_http,
            fate=Fate.THROTTLED,
            status=None,
            provider_code=code or by_http.provider_code,
            provider_message=words,
            error=ErrorClass.THROTTLED,
            retry_after=answers.pause(answer),
        )
    # a word of which no page knows is an error of that call's own, unless something on the way failed
    if said in errors or (code and said != SUCCESS and answer.status < 500):
        return Outcome(
            Fate.REFUSED, status=Status.REJECTED, provider_code=code, provider_message=words, error=error
        )
    own = code if said != SUCCESS else None
    return replace(by_http, provider_code=own or by_http.provider_code, provider_message=words)


def _class(said: str, words: str, errors: Mapping[str, ErrorClass]) -> ErrorClass:
    """Returns the class of the error *said*; of two, the pages give several reasons each."""
    error = errors.get(said, ErrorClass.UNKNOWN)
    if said == "FIELD_INVALID" and _CREDIT.search(words):
        return ErrorClass.ACCOUNT_PROBLEM
    if said == "RECIPIENTS_ERROR" and _OPTED_OUT.search(words):
        return ErrorClass.OPTED_OUT
    return error


def refusal(answer: Answer, errors: Mapping[str, ErrorClass]) -> Outcome | None:
    """Returns why a question was not answered, None where it was, or where nobody can tell; that there is
    nothing is an answer."""
    try:
        said = verdict(reading.keyed(reading.document(answer.body)))
    except Unreadable:
        said = ""
    if said == "NOT_FOUND" or (said == SUCCESS and 200 <= answer.status < 300):
        return None
    meant = outcome(answer, errors)
    return meant if meant.fate in (Fate.REFUSED, Fate.THROTTLED) else None


def granted(answer: Answer) -> Fields:
    """The fields of an answer that brings something; without ``data`` where there is nothing. Raises
    ``Unreadable`` for a refusal."""
    fields = reading.keyed(reading.document(answer.body))
    said = verdict(fields)
    if said == "NOT_FOUND":
        return {}
    if said != SUCCESS or not 200 <= answer.status < 300:
        found = said if said != SUCCESS else ""
        raise Unreadable(f"the carrier answers {found or answer.status}: {description(fields)}")
    return fields


def accepted(fields: Fields) -> Outcome:
    """Each number has an id of its own; those that were not taken are counted, and not named."""
    data = inner(fields.get("data"))
    listed = data.get("messages")
    messages = [inner(message) for message in (listed if isinstance(listed, list) else [])]
    taken = Outcome(
        Fate.ACCEPTED,
        status=Status.QUEUED,
        provider_message=sentence(fields.get("msg")),
        # one for all messages of a call
        sender=next((national(message.get("from"), REGION) for message in messages), None),
    )
    named = [
        (national(message.get("to"), REGION), identifier(message.get("messageid"), "message_id"))
        for message in messages
    ]
    asked, good = batch.count(data.get("totalnumbers")), batch.count(data.get("successnumber"))
    rest = taken
    if asked is not None and good is not None and good < asked:
        lost = f"Cellcast took {good} of {asked} numbers, and names this one not among them"
        certain = sum(one is not None for _, one in named) >= good
        rest = (
            Outcome(Fate.REFUSED, status=Status.REJECTED, provider_message=lost, error=ErrorClass.UNKNOWN)
            if certain
            else Outcome(Fate.UNDECIDED, provider_message=lost)
        )
    return batch.outcome(taken, named, rest, alone=(asked or len(named)) == 1)
