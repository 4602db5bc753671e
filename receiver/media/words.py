"""What the parts of an MMS say in words, and the one that only says where on the screen the others go."""

import codecs
import re

from receiver.media.sniff import UNKNOWN, type_of

#: bytes; what is longer is a document and no message
LONGEST_TEXT = 64 * 1024
#: the byte order marks, the longest first: UTF-32's begins with UTF-16's
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_CHARSET = re.compile(r""";\s*charset\s*=\s*["']?([\w.:-]+)""", re.IGNORECASE)
#: of all that Python calls an encoding: those that mail and MMS know (MMS names them by IANA's)
_KNOWN = re.compile(
    r"us-ascii|ascii|utf-?(8|16|32)(-?[lb]e)?|iso-8859-\d+|latin-?1|windows-\d+|cp\d+|gb\w+|big5\w*|shift_jis|sjis"
    r"|euc-\w+|iso-2022-\w+|koi8-\w+|iso-10646-ucs-2|ucs-?2",
    re.IGNORECASE,
)
_UCS2 = re.compile("iso-10646-ucs-2|ucs-?2", re.IGNORECASE)
#: what neither says its charset nor is UTF-8 comes from gateways that hand on Western European octets
_LAST_RESORT = "windows-1252"
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
#: a page or a picture, whatever it is called; "<3" and "<b>" are what people type
_DOCUMENT = re.compile(r"\s*<(\?xml|!doctype|!--|html|head|body|svg|script|smil)\b", re.IGNORECASE)
_LAYOUT = re.compile(
    # never goes back: a page of comments must not take for ever
    r"\s*+(?:<\?xml[^>]*+>\s*+|<!--.*?-->\s*+|<!doctype\s[^>\[]*+(?:\[[^\]]*+\])?[^>]*+>\s*+)*+<smil\b",
    re.IGNORECASE | re.DOTALL,
)


def is_layout(content: bytes, claimed: str | None) -> bool:
    """Whether it is SMIL, by its claim or by its bytes."""
    if _media_type(claimed) in ("application/smil", "application/smil+xml"):
        return True
    return _LAYOUT.match(_decoded(content[:4096], None)) is not None


def text_in(content: bytes, claimed: str | None) -> str | None:
    """What a text part says, with plain line ends; None for what is no plain text, or is longer than a
    message could be. Its charset is that of its byte order mark, else the claimed one, else UTF-8."""
    if len(content) > LONGEST_TEXT or _media_type(claimed) not in ("", "text/plain", UNKNOWN):
        return None
    claims_text = _media_type(claimed) == "text/plain"
    if not claims_text and type_of(content, claimed) != "text/plain" and not _marked(content):
        return None
    text = _decoded(content, claimed)
    if _CONTROL.search(text) or _DOCUMENT.match(text) or _is_card(text):
        return None
    return text.replace("\r\n", "\n").replace("\r", "\n").strip("\n")


def _media_type(claimed: str | None) -> str:
    return (claimed or "").partition(";")[0].strip().lower()


def _marked(content: bytes) -> str | None:
    return next((charset for mark, charset in _MARKS if content.startswith(mark)), None)


def _decoded(content: bytes, claimed: str | None) -> str:
    charset = _CHARSET.search(claimed or "")
    named = charset[1] if charset and _KNOWN.fullmatch(charset[1]) else None
    if named and _UCS2.fullmatch(named):
        named = "utf-16-be"
    for name in filter(None, (_marked(content), named, "utf-8")):
        try:
            return content.decode(name).removeprefix("\ufeff")
        except (UnicodeError, LookupError):
            continue
    return content.decode(_LAST_RESORT, "replace")


def _is_card(text: str) -> bool:
    return text.lstrip()[:15].upper().startswith(("BEGIN:VCARD", "BEGIN:VCALENDAR"))
