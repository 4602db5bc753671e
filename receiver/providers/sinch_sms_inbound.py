"""Inbound messages of the Sinch SMS REST API: text, binary and media.

https://developers.sinch.com/docs/sms/api-reference/sms/tag/Webhooks; the spelling of the fields is that of
the fixtures in Sinch's SDKs where it differs from the page.
"""

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from typing import Any

from models.events import Inbound, MediaPart, Unreadable
from receiver.providers import reading
from receiver.providers.reading import identifier, message_text, moment, number, stripped, text, word

Fields = Mapping[str, Any]

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
#: characters that Sinch takes of a reference, and those of a header of 140 octets
LONGEST_REFERENCE, LONGEST_UDH = 2048, 280
_SMIL = ("application/smil", "application/smil+xml")


def inbound(fields: Fields, type_: str) -> Inbound:
    """What the callback of *type_* tells: ``mo_text``, ``mo_binary``, ``mo_media``. Raises ``Unreadable``.

    An unknown ``mo_...`` is read as a text, if its body is one.
    """
    message_id = identifier(fields.get("id"), "id")
    sender, recipient = number(fields.get("from")), number(fields.get("to"))
    if message_id is None and sender is None:
        raise Unreadable("the inbound message has neither id nor from")
    body = fields.get("body")
    parts = reading.keyed(body) if isinstance(body, dict) else {}
    said = _decoded(body) if type_ == "mo_binary" else message_text(body, parts.get("message"))
    files = list(_files(parts))
    received, sent = word(fields.get("receivedat")), word(fields.get("sentat")) or word(fields.get("sendat"))
    metadata: dict[str, Any] = {
        "operator_id": word(fields.get("operatorid")),
        "client_reference": word(fields.get("clientreference"), LONGEST_REFERENCE),
        "sent_at": sent,
        "udh": word(fields.get("udh"), LONGEST_UDH),
        "body_base64": text(body) if type_ == "mo_binary" and said is None else None,
        "failed_media": [_facts(file) for file in files if stripped(file.get("url")) is None],
    }
    media = tuple(part for file in files if (part := _part(file)) is not None)
    return Inbound(
        provider_message_id=message_id,
        identity=(message_id,)
        if message_id
        else (sender, recipient, received, said or metadata["body_base64"], *(part.url for part in media)),
        sender=sender,
        recipient=recipient,
        text=said,
        subject=text(parts.get("subject")),
        media=media,
        kind="mms" if type_ == "mo_media" else "sms",
        occurred_at=moment(received) or moment(sent),
        metadata={name: value for name, value in metadata.items() if value},
    )


def _decoded(body: Any) -> str | None:
    """The text in the base64 of *body*, None where it is none.

    The callback names no encoding. What is UTF-8 without control characters is taken for text, which loses
    nothing: encoding it again gives the same bytes.
    """
    try:
        found = base64.b64decode(stripped(body) or "", validate=True).decode()
    except (binascii.Error, ValueError):
        return None
    return None if _CONTROL.search(found) else message_text(found)


def _files(parts: Fields) -> Iterator[Fields]:
    listed = parts.get("media")
    for file in listed if isinstance(listed, list) else [listed]:
        if isinstance(file, dict):
            yield reading.keyed(file)


def _part(file: Fields) -> MediaPart | None:
    """The file, None for one that Sinch could not keep (it has no address) and for SMIL."""
    url, content_type = stripped(file.get("url")), word(file.get("contenttype"), reading.LONGEST_ID)
    if url is None or reading.extension(url) in ("smil", "smi"):
        return None
    if (content_type or "").partition(";")[0].strip().lower() in _SMIL:
        return None
    return MediaPart(url, content_type or reading.content_type(url))


def _facts(file: Fields) -> dict[str, str]:
    named = {"content_type": "contenttype", "status": "status", "code": "code"}
    return {name: found for name, key in named.items() if (found := word(file.get(key)))}
