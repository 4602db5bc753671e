"""One answer for many recipients, as carriers give it that name every message by an id of its own."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from models.sends import Fate, Outcome
from receiver.providers.reading import word

#: a message's recipient, and the id that the carrier gave it
Named = tuple[str | None, str | None]


def outcome(
    taken: Outcome,
    named: Sequence[Named],
    rest: Outcome,
    *,
    refused: Mapping[str, Outcome] | None = None,
    alone: bool,
) -> Outcome:
    """*taken* with its id for everybody who is *named*, *refused* for those in it, *rest* for the others.

    Where the call went to one number *alone*, what is said is said of that number, however it is written.
    """
    if alone and named and rest.fate is Fate.ACCEPTED:
        ids = tuple(one for _, one in named if one)
        return replace(taken, provider_message_ids=ids)
    if alone and refused and not named:
        return next(iter(refused.values()))
    accepted = {
        number: replace(taken, provider_message_ids=(one,)) for number, one in named if number and one
    }
    return replace(rest, results={**accepted, **(refused or {})})


def count(value: Any) -> int | None:
    """A counter, written as a number or as text."""
    found = word(value)
    return int(found) if found and found.isascii() and found.isdigit() and len(found) < 10 else None
