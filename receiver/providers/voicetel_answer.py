"""What VoiceTel answers to a send, in three generations of its API.

2.2 puts an object into ``error`` or ``data`` (https://voicetel.com/docs/api/v2.2/). 2.1 and 2 share
``message``, a sentence or an object; of generation 2 no code is documented, so those of 2.1 are read there.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from models.sends import Answer
from receiver.providers import reading
from receiver.providers.reading import inner, sentence, word

BAD_KEY = "bad key"

_OPTED_OUT = re.compile(r"\bopt(ed)?[- ]?out|\bstop\b", re.IGNORECASE)
#: generation 2 says no more of an error than "check APIkey/GET Request"
_KEY = re.compile(r"\bapi[-_ ]*key\b|\b(un)?auth\w*|\bcredential|\btoken\b|\blog[- ]?in\b", re.IGNORECASE)
_NUMBER = re.compile(r"\b(source|number|did|caller)\b", re.IGNORECASE)
_ENABLED = re.compile(r"\b(en|dis)abled\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Refusal:
    """*reason* is the entry in the table of errors: the code with its generation, or what tells more."""

    code: str | None
    reason: str
    detail: str | None


def ids(fields: Mapping[str, Any]) -> tuple[str, ...]:
    """The ids in a success; there are none where it is only a sentence, or where no index could hold them."""
    transactions = inner(fields.get("message")).get("transaction")
    found = reading.listed(inner(fields.get("data")).get("id"), "id")
    found += reading.listed(transactions, "transactionguid")
    return tuple(found_id for found_id in found if len(found_id) <= reading.LONGEST_ID)


def refusal(fields: Mapping[str, Any], answer: Answer) -> Refusal | None:
    """Why nothing was sent, None if *fields* do not say that."""
    current, said = inner(fields.get("error")), fields.get("message")
    if (word(fields.get("status")) or "").lower() != "error" and not current:
        return None
    code = word(current.get("code")) or word(fields.get("statuscode"))
    if code is None and answer.status >= 300:
        code = str(answer.status)
    if current:
        detail = sentence(current.get("message"))
        return Refusal(code, _current_reason(code, detail or ""), detail)
    detail = sentence(said) or sentence(inner(said).get("detail"))
    failed = (word(inner(said).get("reason")) or "").lower() == "failure"
    return Refusal(code, _reason(code, detail or "", failed=failed), detail)


def message(fields: Mapping[str, Any]) -> str | None:
    """Returns what an answer says in words, whatever its status is called."""
    said = fields.get("message")
    return (
        sentence(said)
        or sentence(inner(said).get("detail"))
        or sentence(inner(fields.get("error")).get("message"))
    )


def _current_reason(code: str | None, detail: str) -> str:
    # one code for a number of ours that may not send, and for a person who wants to hear no more
    if code == "409" and _ENABLED.search(detail) and not _OPTED_OUT.search(detail):
        return "not enabled"
    return f"2.2 {code}"


def _reason(code: str | None, detail: str, *, failed: bool) -> str:
    # one code for a field that is missing, and for an MMS that the network behind VoiceTel did not take
    if code == "400" and failed:
        return "failure"
    # 401 is 2.1's for a number that is not on the account; what is wrong with the key has no code of its own
    if _KEY.search(detail) and not _OPTED_OUT.search(detail) and not _NUMBER.search(detail):
        return BAD_KEY
    if code == "401" and not _NUMBER.search(detail):
        return BAD_KEY
    if code == "422" and "queue is full" in detail.lower():
        return "queue is full"
    return f"2 {code}"
