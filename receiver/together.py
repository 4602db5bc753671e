"""Payloads that are about the same messages, and ids for what is stored later than it came. Pure."""

from collections.abc import Hashable, Iterator, Mapping
from datetime import datetime
from hashlib import sha256
from uuid import UUID

from receiver.correlate import Rows
from receiver.id_times import first_id
from receiver.rows import InboundRow

#: payloads taken together at most: a transaction that is taken back holds its messages' locks until then
MOST_TOGETHER = 200


def groups(names: Mapping[UUID, frozenset[Hashable]]) -> Iterator[list[UUID]]:
    """Payloads that share a name, directly or through others, in the order of their ids; larger groups than
    `MOST_TOGETHER` in parts."""
    leader: dict[UUID, UUID] = {}
    first: dict[Hashable, UUID] = {}

    def of(payload: UUID) -> UUID:
        while leader[payload] != payload:
            leader[payload] = payload = leader[leader[payload]]
        return payload

    for payload in sorted(names):
        leader[payload] = payload
        for name in names[payload]:
            leader[of(payload)] = of(first.setdefault(name, payload))
    members: dict[UUID, list[UUID]] = {}
    for payload in sorted(names):
        members.setdefault(of(payload), []).append(payload)
    for together in members.values():
        for start in range(0, len(together), MOST_TOGETHER):
            yield together[start : start + MOST_TOGETHER]


def placed(rows: Rows, payload_id: UUID, received_at: datetime) -> Rows:
    """*rows* with ids for new messages that have the time of receipt.

    So a message that is understood late stands in lists where it came, and in the partition of its month.
    The rest of the id is made of the payload's: a dry run, a retry and the replay itself name the same.
    """
    ids = {
        row.candidate: _id(received_at, payload_id, place)
        for place, row in enumerate(rows.events)
        if row.candidate is not None
    }
    return Rows(
        events=[row._replace(candidate=row.candidate and ids[row.candidate]) for row in rows.events],
        inbounds=[_inbound(row, ids[row.candidate]) for row in rows.inbounds],
        files=[row._replace(message_id=ids[row.message_id]) for row in rows.files],
        templates=rows.templates,
        foreign=rows.foreign,
        others=rows.others,
    )


def _inbound(row: InboundRow, candidate: UUID) -> InboundRow:
    consent = row.consent._replace(message_id=candidate) if row.consent else None
    return row._replace(candidate=candidate, consent=consent)


def _id(moment: datetime, payload_id: UUID, place: int) -> UUID:
    """A UUIDv7 of *moment*."""
    chance = int.from_bytes(sha256(payload_id.bytes + place.to_bytes(4)).digest()[:10])
    version, variant = 0x7 << 76, 0x2 << 62
    low = chance & ((1 << 62) - 1)
    high = (chance >> 62 & 0xFFF) << 64
    return UUID(int=first_id(moment).int | version | high | variant | low)
