"""What texts that leave the house through logs and metrics must not show: numbers, addresses' secrets, rows.

A last line of defence. Nobody is to rely on it: what is logged is chosen where it is logged. A text is cut
before it is looked through, and the patterns take a time that grows no faster than the text.
"""

import re
from collections.abc import Iterator
from urllib.parse import quote, unquote

#: characters of a text that are looked through, and how many of them stay unshown where more follow: a number
#: or credential that begins among those that are shown is there as a whole
LOOKED_AT, _MARGIN = 2500, 500

#: digits in one run, with or without a plus; hyphens, dots and letters around them belong to ids and times
_RUN = r"(?<![\w.:+-])\+?\d{7,15}(?![\w:-]|\.\d)"
_INTERNATIONAL = r"\+\d{6,15}"
#: as people write them: (206) 555-0123, +1 206 555 0123
_WRITTEN = r"(?<![\w.:+-])(?:\+\d{1,3}[ .-]?)?\(?\d{2,4}\)?[ .-]{1,2}\d{2,4}[ .-]\d{3,4}(?![\w:-]|\.\d)"
_NUMBER = re.compile(f"{_INTERNATIONAL}|{_RUN}|{_WRITTEN}")

#: what follows a mark is a value of somebody's row: Postgres's and asyncpg's errors quote what they refuse
_QUOTING = re.compile(
    r"(?P<kept>invalid input for query argument \$\d+|invalid input syntax for [\w ]+"
    r"|invalid value for [\w ]+|invalid literal for [\w ()]+)\b|(?:DETAIL|CONTEXT|HINT|STATEMENT):"
    r"|\[(?:SQL|parameters):|Key \("
)
_CREDENTIALS = (
    (re.compile(r"(?P<kept>/hooks/[^/\s]+/)[^\s\"'?]+"), r"\g<kept>•••"),
    (re.compile(r"(?P<kept>/media/[^/\s]+/)[^/\s\"'?]+"), r"\g<kept>•••"),
    (re.compile(r"(?P<kept>://)[^/\s@]+@"), r"\g<kept>•••@"),
    (re.compile(r"(?i)\b(?P<kept>basic|bearer)\s+[\w+/=.~-]{6,}"), r"\g<kept> •••"),
    (re.compile(r"\b(?P<kept>pb_|whsec_)[\w+/=.-]{6,}"), r"\g<kept>•••"),
)


def url(given: str) -> str:
    """Returns the address *given* without user, password, query and fragment, and of one that can be read in
    several ways, because a password is not encoded, no more than its scheme."""
    scheme, mark, rest = given.partition("://")
    credentials, _, place = rest.rpartition("@")
    if not mark or re.search("[@/?#]", credentials):
        return f"{scheme}://•••" if mark else "•••"
    return f"{scheme}://{re.split('[?#]', place)[0]}"


def secrets_of_url(given: str) -> Iterator[str]:
    """Yields what `url` leaves out of *given*: whole, decoded, and in the parts that a library may quote."""
    credentials, _, place = given.partition("://")[2].rpartition("@")
    values = [pair.partition("=")[2] for pair in re.split("[?#&]", place)[1:]]
    for written in (credentials.partition(":")[2], *values):
        for one in (written, unquote(written), quote(written)):
            yield from filter(None, (one, *re.split(r"[/?#@:&=\[\]\s]", one)))


def about_url(words: str, given: str) -> str:
    """Returns *words*, which speak of the address *given*, without what `url` leaves out of that."""
    for secret in sorted(secrets_of_url(given), key=len, reverse=True):
        words = words.replace(secret, "•••")
    return re.sub(r"\S+", _without_user, words)


def _without_user(found: re.Match[str]) -> str:
    # one pattern for both marks would try each first one with all that follows
    scheme, mark, rest = found[0].partition("://")
    _, at, place = rest.rpartition("@")
    return f"{scheme}://•••@{place}" if mark and at else found[0]


def number(text: str) -> str:
    """*text*, a phone number, as ``+1206•••0123``."""
    digits = "".join(filter(str.isdigit, text))
    shown = digits[-4:] if len(digits) > 8 else digits[-2:]
    begun = f"+{digits[:-7]}" if text.startswith("+") and len(digits) > 8 else ""
    return f"{begun}•••{shown}"


def text(given: str, secrets: re.Pattern[str] | None = None) -> str:
    """Returns *given* without phone numbers, credentials by their usual looks, what database errors quote,
    and what *secrets* matches. Of a longer one than `LOOKED_AT` it is the beginning, with how many follow."""
    shown, more = given[:LOOKED_AT], len(given) - LOOKED_AT
    if secrets is not None:
        shown = secrets.sub("•••", shown)
    if quoting := _QUOTING.search(shown):
        shown, more = shown[: quoting.start()].rstrip() + (quoting["kept"] or ""), 0
    for pattern, masked in _CREDENTIALS:
        shown = pattern.sub(masked, shown)
    shown = _NUMBER.sub(lambda found: number(found[0]), shown)
    return shown if more <= 0 else f"{shown[:-_MARGIN]}… ({more + _MARGIN} more)"
