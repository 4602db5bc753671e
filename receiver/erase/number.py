"""A number in every way that people, forms and carriers write it."""

import re
from dataclasses import dataclass

import phonenumbers

from receiver import phone

#: between two digits of a number as people and forms write it; at most three of them
_BETWEEN = r"(?:[^0-9A-Za-z]|%[0-9A-Fa-f][0-9A-Fa-f]|\\u00[0-9a-f][0-9a-f]){0,3}"
_PLUS = r"(?:[+]|%2[Bb]|\\u002[Bb]|00)"


@dataclass(frozen=True, slots=True)
class Number:
    """A number to look for. *pattern* is for Postgres and for Python alike: any way of writing it, with or
    without the country, not as part of a longer one."""

    number: str
    pattern: str

    @property
    def masked(self) -> str:
        return phone.redacted(self.number)


def wanted(number: str) -> Number:
    """Raises ``ValueError`` for what would match nearly anything."""
    digits = re.sub(r"\D", "", number)
    if len(digits) < 3:
        raise ValueError("a number has three digits at least")
    prefix = ""
    if number.startswith("+"):
        try:
            parsed = phonenumbers.parse(number, None)
            country, national = str(parsed.country_code), phonenumbers.national_significant_number(parsed)
            if len(phone.spellings(number)) > 1:  # this one as it is: the parser makes one of all
                national = digits.removeprefix(country)
        except phonenumbers.NumberParseException:
            country, national = "", digits
        if len(national) >= 7:  # a shorter one stands for too much without its country
            prefix = f"(?:(?:{_PLUS}{_BETWEEN})?{country}{_BETWEEN}|0{_BETWEEN})?[(]?" if country else ""
            digits = national
    return Number(number, f"(?<![0-9]){prefix}{_BETWEEN.join(digits)}(?![0-9])")


def plain_forms(sought: Number) -> list[str]:
    """As it may stand where no pattern can be looked for."""
    digits = re.sub(r"\D", "", sought.number)
    forms = [digits]
    if sought.number.startswith("+"):
        parsed = phonenumbers.parse(sought.number, None)
        forms.append(phonenumbers.national_significant_number(parsed))
        forms += [
            phonenumbers.format_number(parsed, style)
            for style in (
                phonenumbers.PhoneNumberFormat.NATIONAL,
                phonenumbers.PhoneNumberFormat.INTERNATIONAL,
            )
        ]
    return forms
