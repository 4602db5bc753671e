"""Cellcast's answers, API v3: ``{"meta": {"code", "status"}, "msg", "data"}`` to every call."""

from collections.abc import Mapping
from typing import Any

from models.errors import ErrorClass
from models.events import Answer, Fate, Outcome, Unreadable
from models.status import Status
from receiver.providers import batch, reading
from receiver.providers.cellcast_common import REGION
from receiver.providers.reading import identifier, inner, national, sentence, word

Fields = Mapping[str, Any]


def verdict(fields: Fields) -> str:
    """``meta.status``; the older pages speak of ``error.code``, which no answer in print has."""
    said = word(inner(fields.get("meta")).get("status")) or word(inner(fields.get("error")).get("code"))
    return (said or "").upper()


def granted(answer: Answer) -> Fields:
    """The fields of an answer that brings something; without ``data`` where there is nothing. Raises
    ``Unreadable`` for a refusal."""
    fields = reading.keyed(reading.document(answer.body))
    said = verdict(fields)
    if said == "NOT_FOUND":
        return {}
    if said != "SUCCESS":
        raise Unreadable(f"the carrier answers {said or answer.status}: {sentence(fields.get('msg'))}")
    return fields


def accepted(fields: Fields) -> Outcome:
    """Each number has an id of its own; those that were not taken are counted, and not named."""
    taken = Outcome(Fate.ACCEPTED, status=Status.QUEUED, provider_message=sentence(fields.get("msg")))
    data = inner(fields.get("data"))
    messages = data.get("messages")
    named = [
        (national(message.get("to"), REGION), identifier(message.get("messageid"), "message_id"))
        for message in map(inner, messages if isinstance(messages, list) else [])
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
