"""The rules of opting out, as the configuration has them: which of our numbers count as one, what is looked
up, what an inbound message asks, and how that is answered. What is stored is ``receiver/sql/optouts.sql``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import orjson

from models.optout import EVERY_NUMBER
from receiver import confirmations, phone
from receiver.config import Settings
from receiver.confirmations import Confirmation
from receiver.keywords import Meaning, Verdict
from receiver.rows import ConsentRow, new_id
from receiver.secrets import Secrets


@dataclass(frozen=True, slots=True)
class OptOuts:
    """*groups* are numbers of ours that count as one; with None all of them do. *confirmations* are those of
    the channels, by name, that have one."""

    groups: Sequence[Sequence[str]] | None = ()
    secrets: Secrets | None = None
    confirmations: Mapping[str, Confirmation] = field(default_factory=dict)

    def scope(self, our_number: str | None) -> list[str] | None:
        """Those of our numbers from which an opt-out stops a send from *our_number*; None is any of them.

        Where the carrier chooses the number nobody knows which it will be, so any opt-out counts.
        """
        if self.groups is None or our_number is None:
            return None
        own = next((group for group in self.groups if our_number in group), (our_number,))
        return [*own, EVERY_NUMBER]

    def hashes(self, contact: str) -> list[bytes]:
        """What stands in place of *contact*, however it was spelt, once it was erased, under every key."""
        if self.secrets is None:
            return []
        return [
            digest
            for spelling in phone.spellings(contact)
            for digest in self.secrets.contact_hashes(spelling.encode())
        ]

    def hash(self, contact: str) -> bytes:
        """The one to write."""
        return self.hashes(contact)[0]

    def asked(
        self,
        verdict: Verdict,
        message_id: UUID,
        channel: str,
        contact: str | None,
        at: datetime,
        payload_id: UUID | None,
    ) -> ConsentRow | None:
        """What the inbound message on *channel* asks, None where that changes nothing about who is written
        to. The number that it was written to is not certain before it is stored."""
        if contact is None or verdict.meaning not in (Meaning.STOP, Meaning.START, Meaning.YES):
            return None
        stops = verdict.meaning is Meaning.STOP
        confirmation = self.confirmations.get(channel) if stops else None
        return ConsentRow(
            id=new_id(),
            message_id=message_id,
            our_number=None,
            contact=contact,
            contact_hashes=self.hashes(contact),
            groups=self._groups(),
            opts_out=stops,
            only_when_out=verdict.meaning is Meaning.YES,
            at=at,
            source=verdict.source,
            certainty=verdict.certainty,
            word=verdict.word,
            payload_id=payload_id,
            confirmation=confirmation.row(contact, at) if confirmation else None,
        )

    def decided(self, our_number: str, contact: str, at: datetime, *, opts_out: bool, by: str) -> ConsentRow:
        """What somebody decided through the API."""
        return ConsentRow(
            id=new_id(),
            message_id=None,
            our_number=our_number,
            contact=contact,
            contact_hashes=self.hashes(contact),
            groups=self._groups(),
            opts_out=opts_out,
            only_when_out=False,
            at=at,
            source="api",
            certainty="certain",
            word=None,
            said_by=by,
            told_by="api",
        )

    def _groups(self) -> str | None:
        return None if self.groups is None else orjson.dumps(self.groups).decode()


def configured(settings: Settings, secrets: Secrets) -> OptOuts:
    confirmed = confirmations.configured(settings)
    if settings.opt_out_scope == "all":
        return OptOuts(None, secrets, confirmed)
    groups = tuple(
        tuple(phone.international(number) for number in group) for group in settings.opt_out_groups
    )
    return OptOuts(groups, secrets, confirmed)
