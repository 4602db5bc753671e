"""Recipients of a send: each person once, however often and in whichever spelling they are named."""

from collections.abc import Mapping, Sequence

from receiver import phone
from receiver.problems import Code, FieldError, Problem


def read(named: Sequence[str], region: str) -> Mapping[str, str]:
    """Returns the numbers of *named* in their order, by the JSON pointer of where each stands first.

    All `spellings <receiver.phone.spellings>` of a line are one person, written as they are named first; what
    has no country code is read in *region*. Raises ``Problem`` with each that is no number.
    """
    numbers: dict[str, str] = {}
    known: set[str] = set()
    wrong = []
    for place, raw in enumerate(named):
        pointer = f"/to/{place}"
        try:
            number = phone.parse(raw, region)
        except phone.InvalidNumber as error:
            wrong.append(FieldError(pointer=pointer, detail=f"{raw!r} {error}"))
            continue
        line = phone.spelling(number)
        if line not in known:
            known.add(line)
            numbers[pointer] = number
    if wrong:
        raise Problem(Code.INVALID_NUMBER, wrong[0].detail, errors=wrong)
    return numbers
