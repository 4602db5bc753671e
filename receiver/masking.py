"""What texts that leave the house through logs and metrics must not show: numbers, addresses' secrets, rows.

A last line of defence. Nobody is to rely on it: what is logged is chosen where it is logged.
"""

import re

#: digits in one run, with or without a plus; hyphens, dots and letters around them belong to ids and times
_RUN = r"(?<![\w.:+-])\+?\d{7,15}(?![\w:-]|\.\d)"
_INTERNATIONAL = r"\+\d{6,15}"
#: as people write them: (206) 555-0123, +1 206 555 0123
_WRITTEN = r"(?<![\w.:+-])(?:\+\d{1,3}[ .-]?)?\(?\d{2,4}\)?[ .-]{1,2}\d{2,4}[ .-]\d{3,4}(?![\w:-]|\.\d)"
_NUMBER = re.compile(f"{_INTERNATIONAL}|{_RUN}|{_WRITTEN}")

#: what follows a mark is a value of somebody's row: Postgres's and asyncpg's errors quote what they refuse
_QUOTING = re.compile(
    r"(?P<kept>invalid input for query argument \$\d+|invalid input syntax for [\w ]+"
    r"|invalid value for [\w ]+|invalid literal for [\w ()]+)\b.*|\s*(?:DETAIL|CONTEXT|HINT|STATEMENT):.*"
    r"|\s*\[(?:SQL|parameters):.*|Key \(.*?\)=\(.*",
    re.DOTALL,
)
_CREDENTIALS = (
    (re.compile(r"(?P<kept>/hooks/[^/\s]+/)[^\s\"'?]+"), r"\g<kept>•••"),
    (re.compile(r"(?P<kept>://)[^/\s@]+@"), r"\g<kept>•••@"),
    (re.compile(r"(?i)\b(?P<kept>basic|bearer)\s+[\w+/=.~-]{6,}"), r"\g<kept> •••"),
    (re.compile(r"\b(?P<kept>pb_|whsec_)[\w+/=.-]{6,}"), r"\g<kept>•••"),
)


def number(text: str) -> str:
    """*text*, a phone number, as ``+1206•••0123``."""
    digits = "".join(filter(str.isdigit, text))
    shown = digits[-4:] if len(digits) > 8 else digits[-2:]
    begun = f"+{digits[:-7]}" if text.startswith("+") and len(digits) > 8 else ""
    return f"{begun}•••{shown}"


def text(given: str) -> str:
    """*given* without phone numbers, credentials by their usual looks, and what database errors quote."""
    given = _QUOTING.sub(lambda found: found["kept"] or "", given)
    for pattern, masked in _CREDENTIALS:
        given = pattern.sub(masked, given)
    return _NUMBER.sub(lambda found: number(found[0]), given)
