"""What a file is, by its bytes: the few types that MMS carries, and none besides.

A claim is believed only where the bytes leave a choice. Nothing that a browser would run as a page is of the
set: markup is never plain text here, whatever it is called.
"""

import re

#: the closed set, each with the extension that carriers tell it by
CONTENT_TYPES = {
    "image/jpeg": "jpg", "image/png": "png", "image/gif": "gif", "image/webp": "webp", "image/heic": "heic",
    "video/mp4": "mp4", "video/3gpp": "3gp",
    "audio/mpeg": "mp3", "audio/amr": "amr", "audio/wav": "wav", "audio/mp4": "m4a",
    "text/vcard": "vcf", "text/calendar": "ics", "text/plain": "txt", "application/pdf": "pdf",
}  # fmt: skip
#: what is kept although it is not of the set: a carrier brought it, and it is never shown as anything else
UNKNOWN = "application/octet-stream"

_SIGNATURES = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"%PDF-", "application/pdf"),
    (b"#!AMR\n", "audio/amr"),
    (b"ID3", "audio/mpeg"),
)
_RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/wav"}
# the major brands of ISO base media files (https://mp4ra.org/registered-types/brands)
_BRANDS = (
    (re.compile(rb"hei[cmsx]|hev[cmsx]"), "image/heic"),
    (re.compile(rb"3g[egprs]\w"), "video/3gpp"),
    (re.compile(rb"M4[AB] "), "audio/mp4"),
    (re.compile(rb"isom|iso[2-9]|mp4[12]|mmp4|avc1|M4V |MSNV|dash"), "video/mp4"),
)
_MARKUP = re.compile(r"<[!?/a-z]", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")


def type_of(content: bytes, claimed: str | None) -> str | None:
    """The type of *content*, None if it is not of the set; *claimed* is a media type as headers have it."""
    claim = (claimed or "").partition(";")[0].strip().lower()
    for signature, content_type in _SIGNATURES:
        if content.startswith(signature):
            return content_type
    if content[:4] == b"RIFF":
        return _RIFF.get(content[8:12])
    if content[4:8] == b"ftyp":
        return _iso_media(content, claim)
    return "audio/mpeg" if _begins_mpeg_audio(content) else _text(content, claim)


def _iso_media(content: bytes, claim: str) -> str | None:
    brand = content[8:12]
    if brand in (b"mif1", b"msf1"):  # says only that it is some HEIF; AVIF is another
        compatible = content[16 : min(int.from_bytes(content[:4]), 256)]
        return "image/heic" if b"heic" in compatible or b"heix" in compatible else None
    for pattern, content_type in _BRANDS:
        if pattern.fullmatch(brand):
            # the same container holds pictures with sound or sound alone
            return "audio/mp4" if content_type == "video/mp4" and claim.startswith("audio/") else content_type
    return None


def _begins_mpeg_audio(content: bytes) -> bool:
    """A frame header of MPEG audio layer III: eleven set bits, then no field with a reserved value."""
    if len(content) < 4 or content[0] != 0xFF or content[1] & 0xE0 != 0xE0:
        return False
    version, layer = content[1] >> 3 & 3, content[1] >> 1 & 3
    bitrate, sampling = content[2] >> 4, content[2] >> 2 & 3
    return version != 1 and layer == 1 and 0 < bitrate < 15 and sampling != 3


def _text(content: bytes, claim: str) -> str | None:
    head = content[:64].removeprefix(b"\xef\xbb\xbf").lstrip().upper()
    if head.startswith(b"BEGIN:VCARD"):
        return "text/vcard"
    if head.startswith(b"BEGIN:VCALENDAR"):
        return "text/calendar"
    # scripts, style sheets and JSON are text as well: what claims to be one of them is not of the set
    if claim not in ("", "text/plain", UNKNOWN):
        return None
    try:
        text = content.decode("utf-8-sig").lstrip()
    except UnicodeDecodeError:
        return None
    return None if not text or _MARKUP.match(text) or _CONTROL.search(text) else "text/plain"
