"""What VoiceTel's webhooks may call the things that we look for.

VoiceTel says that it calls back and not with what. The names are those of its own APIs, those of the
Inteliquent broker whose answers its API passes on, and those of Twilio, whose callbacks its VoiceML promises;
see docs/providers/voicetel.md. A channel's ``fields`` go before all of them.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from models.events import MediaPart
from receiver.config import ChannelSettings
from receiver.providers import named, reading, smpp
from receiver.providers.forms import File

NAMES: named.Names = {
    "id": ("id", "messageid", "transactionguid", "transaction.transactionguid", "referenceid", "messagesid"),
    "from": ("fromnumber", "from", "source", "sourcenumber", "src"),
    "to": ("tonumber", "to", "destination", "destinationnumber", "dst"),
    "text": ("text", "message", "messagetext", "body"),
    "subject": ("subject", "mmssubject"),
    "media": ("mediaurls", "media", "mmsurl"),
    "time": ("timestamp", "time", "date", "receivedat"),
    "status": ("status", "messagestatus", "smsstatus", "dlr", "stat"),
    "error": ("errorcode", "err", "error.code"),
    "error_text": ("errormessage", "error.message"),
}
#: the country of numbers of ten digits, where the channel names none
REGION = "US"
_RECEIPT_TYPES = frozenset(["dlr", "deliveryreceipt", "receipt"])
_FLAGS = {"true": True, "1": True, "false": False, "0": False}
#: numbers of one message that are read; no group has so many
MOST_READ = 200
_NUMBERED_MEDIA = re.compile(r"mediaurl(\d{1,3})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields of one webhook, each found under any of its names."""

    found: Mapping[str, Any]
    own_names: Mapping[str, Any]
    region: str
    our_numbers: frozenset[str]

    def word(self, name: str) -> str | None:
        return next((word for value in self._values(name) if (word := reading.word(value))), None)

    def stripped(self, name: str) -> str | None:
        return next((found for value in self._values(name) if (found := reading.stripped(value))), None)

    def text(self, name: str) -> str | None:
        return next((text for value in self._values(name) if (text := reading.text(value))), None)

    def message_text(self) -> str | None:
        return reading.message_text(*self._values("text"))

    def has(self, name: str) -> bool:
        """Whether *name* is there, be it empty."""
        return any(isinstance(value, str) for value in self._values(name))

    def numbers(self, name: str) -> list[str]:
        """The numbers under *name*, one or a list of them; of many, those after `MOST_READ` as they came."""
        found = next(filter(None, (reading.listed(value, "number") for value in self._values(name))), [])
        read = [reading.national(number, self.region) or number for number in found[:MOST_READ]]
        return read + found[MOST_READ:]

    def recipients(self) -> list[str]:
        """Those that a message went to, ours first."""
        return sorted(self.numbers("to"), key=lambda number: number not in self.our_numbers)

    def sides(self) -> tuple[str | None, str | None]:
        """Sender and recipient of the message that a receipt is about.

        An SMPP receipt is itself a message, from the handset to us; other reports repeat what we sent.
        """
        sender, recipient = (next(iter(self.numbers(name)), None) for name in ("from", "to"))
        returned = recipient in self.our_numbers or "stat" in self.receipt()
        return (recipient, sender) if returned and sender not in self.our_numbers else (sender, recipient)

    def kind(self) -> str:
        return "mms" if self._type() == "mms" else "sms"

    def media(self) -> list[MediaPart]:
        """Addresses under any of their names, and files that came along."""
        listed = (reading.listed(value, "url") for value in self._values("media"))
        urls = next(filter(None, listed), None) or list(self._numbered_media())
        return [MediaPart(url, reading.content_type(url)) for url in urls] + list(self._files())

    def receipt(self) -> Mapping[str, str]:
        """The SMPP receipt in the text, if there is one."""
        return smpp.fields(self.text("text") or "")

    def receipt_line(self) -> str | None:
        said = self.text("text")
        return smpp.line(said) if said and smpp.fields(said) else None

    def are_a_receipt(self) -> bool:
        """Whether they tell of a message of ours; else they are a message of somebody else's.

        A flag is believed either way: by typing a receipt, nobody makes one.
        """
        flag = self.found.get("deliveryreceipt")
        told = flag if isinstance(flag, bool) else _FLAGS.get((reading.word(flag) or "").lower())
        if told is not None:
            return told
        if self._type() in _RECEIPT_TYPES:
            return True
        said = self.text("text")
        if said:
            return smpp.is_receipt(said)
        # an inbound picture without words, as Twilio's names tell it, has a status too
        return (self.word("status") or "received").lower() not in ("received", "receiving")

    def _type(self) -> str:
        return reading.folded(reading.word(self.found.get("type")) or "")

    def _values(self, name: str) -> Iterator[Any]:
        return named.values(self.found, self.own_names, name, NAMES)

    def _numbered_media(self) -> Iterator[str]:
        """`MediaUrl0` and so on."""
        matches = (_NUMBERED_MEDIA.fullmatch(key) for key in self.found)
        for match in sorted(filter(None, matches), key=lambda match: int(match[1])):
            yield from reading.listed(self.found[match[0]], "url")

    def _files(self) -> Iterator[MediaPart]:
        for value in self.found.values():
            for file in value if isinstance(value, list) else [value]:
                if isinstance(file, File):
                    kind = reading.word(file.content_type, reading.LONGEST_ID)
                    name = reading.word(file.name, reading.LONGEST_ID)
                    yield MediaPart("", kind, content=file.content, name=name)


def opened(fields: dict[str, Any], channel: ChannelSettings) -> Fields:
    """*fields* for *channel*, with those of an object in ``data`` or ``message`` among them."""
    for wrapper in ("data", "message"):
        fields = fields | reading.inner(fields.get(wrapper))
    return Fields(
        found=fields,
        own_names=named.own_names(channel),
        region=_region(channel),
        our_numbers=frozenset(our_numbers(channel)),
    )


def our_numbers(channel: ChannelSettings) -> list[str]:
    """The channel's own numbers, as events hold them."""
    return [reading.national(number, _region(channel)) or number for number in channel.numbers]


def _region(channel: ChannelSettings) -> str:
    return channel.default_region or REGION
