"""Numbers as people and carriers write them, and the one way that Postback writes them: E.164 with ``+``.

Short codes (3 to 8 digits) and alphanumeric senders stay as they are. What cannot be normalised stays as
it came: a number is never a reason to lose a report.
"""

import re
from functools import lru_cache

import phonenumbers

_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_SEPARATORS = re.compile(r"[\s().\-/]+")
_ALPHANUMERIC = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9 _&.\-]{1,11}")
SHORT_CODE = range(3, 9)


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
    """A recipient as a person writes it. Raises ``InvalidNumber``.

    Accepts what is possible, not only what is assigned: +12003004000 is in every carrier's examples.
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
    if number.extension or verdict != phonenumbers.ValidationResult.IS_POSSIBLE:
        raise InvalidNumber("is not a possible phone number; write it in E.164 form, like +12065550123")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


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


def is_short_code(raw: str) -> bool:
    return raw.isascii() and raw.isdigit() and len(raw) in SHORT_CODE


def masked(number: str | None) -> str | None:
    """For logs: the last two digits only."""
    return None if number is None else "*" * max(len(number) - 2, 0) + number[-2:]


def redacted(number: str) -> str:
    """For what is kept without the person: the last four digits hidden, +1206555XXXX."""
    return number[:-4] + "X" * min(4, len(number))
