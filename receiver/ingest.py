"""Stores what carriers send: many requests, one transaction, and nobody is answered before the commit."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import structlog

from models.events import Event
from receiver import db
from receiver.commit import Connection, GroupCommit, Poisoned, Unavailable
from receiver.correlate import Rows, Source, rows
from receiver.rows import PayloadRow
from receiver.sql import qualified

log = structlog.get_logger()

#: bytes of a body that cost a batch about as much as one event
_BYTES_PER_EVENT = 4096


@dataclass(frozen=True, slots=True)
class Arrival:
    """A carrier's request, what was understood of it, and in which state it is to be kept."""

    payload: PayloadRow
    source: Source
    events: Sequence[Event] = ()


@dataclass(frozen=True, slots=True)
class _Prepared:
    payload: PayloadRow
    rows: Rows


class Ingest:
    """The one writer of carriers' requests in a process; it owns its connection."""

    def __init__(self, database_url: str, schema: str) -> None:
        self._statement = qualified(
            "SELECT payload_id, state FROM postback.ingest($1, $2, $3, $4, $5)", schema
        )
        # payload ids are made before the first try, and events have keys: twice written is once written
        self._committer = GroupCommit[_Prepared, str](
            lambda: db.connect(database_url), self._write, weigh=_weight, repeatable=True
        )

    def open(self) -> None:
        self._committer.open()

    async def close(self) -> None:
        await self._committer.close()

    async def put(self, arrival: Arrival) -> str:
        """Stores *arrival* and answers with the state in which its payload is kept.

        What Postgres refuses because of its content is stored without being understood, as
        ``quarantined``. Raises ``Unavailable`` when nothing can be stored.
        """
        try:
            return await self._committer.put(self._prepare(arrival))
        except Unavailable:
            raise
        except Exception as error:
            if not arrival.events:
                raise Unavailable(f"the bare request cannot be stored: {error}") from error
            reason = f"cannot be stored as understood: {error}"
        log.warning("quarantined", payload_id=str(arrival.payload.id), channel=arrival.payload.channel)
        quarantined = _Prepared(_quarantined(arrival.payload, reason), Rows())
        try:
            return await self._committer.put(quarantined)
        except Poisoned as error:
            raise Unavailable(f"the bare request cannot be stored: {error}") from error

    @staticmethod
    def _prepare(arrival: Arrival) -> _Prepared:
        payload = arrival.payload
        return _Prepared(
            payload,
            rows(arrival.events, arrival.source, payload.id, payload.received_at),
        )

    async def _write(self, connection: Connection, batch: Sequence[_Prepared]) -> list[str]:
        written = await connection.fetch(
            self._statement,
            [prepared.payload for prepared in batch],
            [row for prepared in batch for row in prepared.rows.events],
            [row for prepared in batch for row in prepared.rows.inbounds],
            [row for prepared in batch for row in prepared.rows.files],
            [row for prepared in batch for row in prepared.rows.templates],
        )
        states: dict[UUID, str] = {row["payload_id"]: row["state"] for row in written}
        # no row: an earlier try of this batch had committed after all
        return [states.get(prepared.payload.id, prepared.payload.state) for prepared in batch]


def _weight(prepared: _Prepared) -> int:
    return max(1, len(prepared.rows.events), len(prepared.payload.body) // _BYTES_PER_EVENT)


def _quarantined(payload: PayloadRow, reason: str) -> PayloadRow:
    return payload._replace(
        state="quarantined", reason=reason.replace("\0", "").encode("utf-8", "replace").decode()[:500]
    )
