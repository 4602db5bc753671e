"""The text of an SMPP 3.4 delivery receipt (appendix B), as carriers pass it on in the text of a message.

    id:1111111111 sub:001 dlvrd:001 submit date:2306132307 done date:2306132309 stat:DELIVRD err:000 text:Hi

Its dates name no time zone and every carrier has its own, so they are no moments; they tell two receipts
apart.
"""

import re
from collections.abc import Mapping

_RECEIPT = re.compile(
    r"id:\S+ sub:\d+ dlvrd:\d+ submit date:\d{10,12} done date:\d{10,12} stat:\w+ err:\S+( text:.*)?",
    re.ASCII | re.IGNORECASE | re.DOTALL,
)
_FIELD = re.compile(r"\b(id|sub|dlvrd|submit date|done date|stat|err):[ ]?(\S+)", re.IGNORECASE)
_TEXT = re.compile(r"\stext:", re.IGNORECASE)


def is_receipt(text: str) -> bool:
    """Whether *text* is a whole receipt and not the words of a person."""
    return _RECEIPT.fullmatch(text.strip()) is not None


def line(text: str) -> str:
    """A receipt without the first characters of the message that it ends with."""
    return _TEXT.split(text.strip(), maxsplit=1)[0].rstrip()


def fields(text: str) -> Mapping[str, str]:
    """The fields of a receipt by their names in lower case, in whatever order and number they come."""
    return {name.lower(): value for name, value in _FIELD.findall(line(text))}
