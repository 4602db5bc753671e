"""Cellcast's inbound messages, API v3: from the callback or a polled page, which name one by the same id.

How an MMS names its files is documented nowhere. So they are looked for under every likely name and in every
shape; what is found under none of them is marked on the message, and ``fields`` of the channel can name it.
"""

from collections.abc import Mapping
from typing import Any

from models.events import Inbound, MediaPart, Unreadable
from receiver.config import ChannelSettings
from receiver.providers import links, named, reading
from receiver.providers.cellcast_common import REGION
from receiver.providers.reading import identifier, message_text, national, word

#: Cellcast writes times without a zone; a capture of 2022 fits Melbourne's and Sydney's summer time alone
ZONE = "Australia/Sydney"

NAMES: named.Names = {
    "id": ("messageid",),
    "from": ("from",),
    "to": (),
    "text": ("body",),
    "subject": ("subject", "mmssubject"),
    "media": links.NAMES,
    "time": ("receivedat",),
}
#: what an inbound message is known to have, none of which can be a file
_KNOWN = frozenset(
    {"messageid", "from", "body", "receivedat", "customstring", "type", "originalmessageid", "originalbody",
     "subaccountid", "to", "subject", "mmssubject", "status", "source", "direction"}
)  # fmt: skip

Fields = Mapping[str, Any]


def is_inbound(fields: Fields, channel: ChannelSettings) -> bool:
    """Returns whether *fields* are those of a person's message; a report names a ``recipient`` instead."""
    own = named.own_names(channel)
    return "recipient" not in fields and any(
        value is not None
        for name in ("from", "text", "time")
        for value in named.values(fields, own, name, NAMES)
    )


def inbound(fields: Fields, channel: ChannelSettings, kind: str = "sms") -> Inbound:
    """Returns the message in *fields*, of *kind* where they do not say. Raises ``Unreadable``."""
    own, region = named.own_names(channel), channel.default_region or REGION

    def first(name: str) -> str | None:
        return next(filter(None, map(word, named.values(fields, own, name, NAMES))), None)

    ids = (reading.stripped(value) for value in named.values(fields, own, "id", NAMES))
    message_id = identifier(next(filter(None, ids), None), "message_id")
    sender = national(first("from"), region)
    if message_id is None and sender is None:
        raise Unreadable("the inbound message has neither message_id nor from")
    said = message_text(*named.values(fields, own, "text", NAMES))
    subject = next(filter(None, map(reading.text, named.values(fields, own, "subject", NAMES))), None)
    media, marked = links.found(fields, own)
    kind = (word(fields.get("type")) or kind).lower()
    is_mms = kind == "mms" or bool(media or subject)
    if is_mms and not media:
        media = [MediaPart(url, reading.content_type(url)) for url in links.alone(said)]
    metadata: dict[str, Any] = {}
    if account := word(fields.get("subaccountid")):
        metadata["subaccount_id"] = account
    if marked or (is_mms and not media and not subject):
        metadata |= links.mark(marked or [key for key in fields if key not in _KNOWN])
    return Inbound(
        provider_message_id=message_id,
        identity=(message_id,) if message_id else (sender, first("time"), said, *links.identity(media)),
        sender=sender,
        recipient=national(first("to"), region),
        text=said,
        subject=subject,
        media=tuple(media),
        kind="mms" if is_mms else "sms",
        occurred_at=reading.moment(first("time"), reading.time_zone(ZONE)),
        metadata=metadata,
        answers=identifier(fields.get("originalmessageid"), "original_message_id"),
        client_reference=identifier(fields.get("customstring"), "custom_string"),
    )
