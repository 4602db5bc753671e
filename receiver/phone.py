"""Numbers as people and carriers write them, and the one way that Postback writes them: E.164 with ``+``.

Short codes (3 to 8 digits) and alphanumeric senders stay as they are. What cannot be normalised stays as
it came: a number is never a reason to lose a report.
"""

import re
from functools import lru_cache

import phonenumbers

_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_SEPARATORS = re.compile(r"[\s().\-/]+")
_ALPHANUMERIC = re.compile(r"(?=[^A-Za-z]{0,10}[A-Za-z])[A-Za-z0-9 _&.\-]{1,11}")
SHORT_CODE = range(3, 9)
#: characters of an E.164 number that may have other spellings, with one digit more than the plan has
_LONGEST_SPELT = 17
#: country -> what makes the shortest spelling of a number of it
_RESPELLED = {
    "+52": [(re.compile(r"\A\+521?([2-9][0-9]{9})\Z"), r"+52\1")],
    "+54": [
        (
            re.compile(r"^\+54(?:(11)15([0-9]{8})|([23][0-9]{2})15([0-9]{7})|([23][0-9]{3})15([0-9]{6}))\Z"),
            r"+54\1\2\3\4\5\6",
        ),
        (re.compile(r"\A\+549?((?:11|[23][0-9])[0-9]{8})\Z"), r"+54\1"),
    ],
    "+55": [(re.compile(r"\A\+55([1-9][0-9])9?([6-9][0-9]{7})\Z"), r"+55\1\2")],
}


class InvalidNumber(ValueError):
    """Not a number that a message can go to; the message says what was expected."""


def international(raw: str) -> str:
    """A number that its carrier writes with the country code, with or without ``+`` or ``00``.

    Never parsed with a region: 33662162466 would become +133662162466 in the US.
    """
    if _E164.fullmatch(raw):
        return raw
    plain = raw if raw.isdigit() else _SEPARATORS.sub("", raw)
    if plain is not raw and _E164.fullmatch(plain):
        return plain
    digits = plain.removeprefix("+")
    if is_short_code(digits):
        return digits
    number = "+" + digits.removeprefix("00")
    return number if _E164.fullmatch(number) else raw


@lru_cache(maxsize=65536)
def parse(raw: str, region: str) -> str:
    """Returns a recipient as a person or a carrier writes it in E.164 form. Raises ``InvalidNumber``.

    Accepts a number that is possible, assigned or not: +12003004000 is in every carrier's examples. Accepts a
    spelling that no numbering plan has any more, such as +521…, where another one of `spellings` is possible:
    carriers write so, and are answered so.
    """
    if is_short_code(raw):
        # before any parsing: phonenumbers makes +128444 of the short code 28444
        return raw
    try:
        number = phonenumbers.parse(raw, region)
    except phonenumbers.NumberParseException:
        raise InvalidNumber("must be a phone number in E.164 form, like +12065550123") from None
    # is_possible_number would let 555-0123 pass, which only its neighbours can dial, as +15550123
    verdict = phonenumbers.is_possible_number_with_reason(number)
    written = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    if not number.extension and verdict == phonenumbers.ValidationResult.IS_POSSIBLE:
        return written
    shortest = spelling(written)
    if number.extension or shortest == written:
        raise InvalidNumber("is not a possible phone number; write it in E.164 form, like +12065550123")
    parse(shortest, region)
    return written


def sender(raw: str, region: str) -> str:
    """A sender: a number, a short code, or an alphanumeric name. Raises ``InvalidNumber``."""
    if is_name(raw):
        return raw
    return parse(raw, region)


@lru_cache(maxsize=65536)
def region(number: str) -> str | None:
    """The region of an E.164 number, as in ``US``, or the main one of its country code where the number is
    not assigned; None for what is no such number."""
    try:
        parsed = phonenumbers.parse(number, None)
    except phonenumbers.NumberParseException:
        return None
    assigned: str | None = phonenumbers.region_code_for_number(parsed)
    main: str = phonenumbers.region_code_for_country_code(parsed.country_code or 0)
    return assigned or (main if main.isalpha() and main != "ZZ" else None)


def is_name(raw: str) -> bool:
    """Whether *raw* is an alphanumeric sender."""
    return _ALPHANUMERIC.fullmatch(raw) is not None


def spelling(number: str) -> str:
    """The shortest way in which *number* is written, as `spellings` has them; any other number as it is."""
    if number[:3] not in _RESPELLED:
        return number
    for pattern, shortest in _RESPELLED[number[:3]]:
        number = pattern.sub(shortest, number)
    return number


def spellings(number: str) -> tuple[str, ...]:
    """*number* first, then the other ways in which carriers and people write the number of the same line.

    Mobile numbers of Mexico have a 1 behind +52, or none since 2019; those of Argentina a 9 behind +54, a 15
    behind the area code, or neither; those of Brazil a ninth digit, a 9 before the older eight, or not. Each
    is one line. ``receiver/sql/numbers.sql`` knows the same.
    """
    # what may be of any length is not remembered
    return _spellings(number) if number[:3] in _RESPELLED and len(number) <= _LONGEST_SPELT else (number,)


@lru_cache(maxsize=65536)
def _spellings(number: str) -> tuple[str, ...]:
    short = spelling(number)
    others: list[str] = [short]
    if re.fullmatch(r"\+52[2-9][0-9]{9}", short):
        others.append(f"+521{short[3:]}")
    elif re.fullmatch(r"\+55[1-9][0-9][6-9][0-9]{7}", short):
        others.append(f"{short[:5]}9{short[5:]}")
    elif re.fullmatch(r"\+54(11|[23][0-9])[0-9]{8}", short):
        areas = [5] if short.startswith("+5411") else [6, 7]  # as long as the area code may be, with +54
        others += [f"+549{short[3:]}", *(f"{short[:end]}15{short[end:]}" for end in areas)]
    return (number, *(other for other in others if other != number))


def is_short_code(raw: str) -> bool:
    return raw.isascii() and raw.isdigit() and len(raw) in SHORT_CODE


def masked(number: str | None) -> str | None:
    """For logs: the last two digits only."""
    return None if number is None else "*" * max(len(number) - 2, 0) + number[-2:]


def redacted(number: str) -> str:
    """For what is kept without the person: the last four digits hidden, +1206555XXXX."""
    return number[:-4] + "X" * min(4, len(number))
