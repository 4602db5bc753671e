"""Stores what carriers send: many requests, one transaction, and nobody is answered before the commit.

While Postgres is away they go to the spool instead, and are answered once they are on that disk;
`receiver.drain` takes them to Postgres afterwards.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from uuid import UUID

import structlog

from models.events import Event
from receiver import db, phone
from receiver.alone import Alone
from receiver.commit import GroupCommit, Poisoned, Unavailable
from receiver.correlate import Rows, others_of, rows
from receiver.db import Connection
from receiver.db.statement_errors import is_of_disk
from receiver.media import Store, contents
from receiver.metrics.definitions import UNVERIFIED_NOT_KEPT, found, not_committed, stored
from receiver.optouts import OptOuts
from receiver.rows import PayloadRow
from receiver.sources import Source
from receiver.spool import Record, Spool, SpoolError
from receiver.sql import qualified
from receiver.together import placed

log = structlog.get_logger()

#: bytes of a body that cost a batch about as much as one event
_BYTES_PER_EVENT = 4096
#: seconds between two lines of the log about one channel's messages to numbers of others
_SILENCE = 60.0


class Unstorable(Unavailable):
    """Postgres is well and refuses even the bare request: waiting would not help."""


class Unwritable(Unavailable):
    """A file that came inside cannot be written; Postgres was not asked."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A carrier's request, what was understood of it, and in which state it is to be kept."""

    payload: PayloadRow
    source: Source
    events: Sequence[Event] = ()
    #: it waited on disk: what it begins has its place where it came
    late: bool = False


@dataclass(frozen=True, slots=True)
class _Prepared:
    payload: PayloadRow
    rows: Rows


class Ingest:
    """The one writer of carriers' requests in a process; it owns its connection."""

    def __init__(
        self,
        database_url: str,
        schema: str,
        store: Store | None = None,
        opt_outs: OptOuts = OptOuts(),  # noqa: B008 - it never changes
        spool: Spool | None = None,
    ) -> None:
        self._store, self._opt_outs, self._spool = store, opt_outs, spool
        #: Postgres took nothing the last time: do not make callers wait until that is found out once more
        self.away = False
        self._said = dict[str, float]()
        self._statement = qualified(
            """SELECT payload_id, state, channel, found_by, reports
               FROM postback.ingest($1, $2, $3, $4, $5, $6)""",
            schema,
        )
        self._alone = Alone[_Prepared, str](partial(db.connect, database_url), self._write)
        # payload ids are made before the first try, and events have keys: twice written is once written
        self._committer = GroupCommit[_Prepared, str](
            partial(db.prepared, database_url, self._statement),
            self._write,
            weigh=_weight,
            size=_size,
            repeatable=True,
            patient=spool is None,
            name="webhooks",
        )

    def open(self) -> None:
        self._committer.open()

    async def close(self) -> None:
        await self._committer.close()

    async def put(self, arrival: Arrival) -> str:
        """Stores *arrival*, in the spool where Postgres is away or has more to do than it gets done, and
        answers with the state in which its payload is kept. Raises ``Unavailable`` when it cannot be stored
        anywhere."""
        full = self._committer.full
        if full:
            not_committed("webhooks", "full")
        if self._spool is None:
            if full:
                raise Unavailable("more requests wait for Postgres than it takes")
            return await self.commit(arrival)
        if not (self.away or full):
            try:
                return await self.commit(arrival)
            except Unstorable:
                raise
            except Unavailable:
                pass
        try:
            await self._spool.put(Record(arrival.payload))
        except SpoolError as error:
            if arrival.payload.state == "unverified":
                UNVERIFIED_NOT_KEPT.add()
            raise Unavailable(str(error)) from error
        return arrival.payload.state

    async def commit(self, arrival: Arrival) -> str:
        """Stores *arrival* in Postgres, and nowhere else.

        What Postgres refuses because of its content is stored without being understood, as
        ``quarantined``. Raises ``Unavailable``, and ``Unstorable`` where even that is refused.
        """
        try:
            state = await self._committed(arrival, self._committer.put)
        except (Unstorable, Unwritable):
            raise
        except Unavailable:
            self.away = self._spool is not None
            raise
        self.away = False
        return state

    async def commit_alone(self, arrival: Arrival, patience: float) -> str:
        """As `commit`, within *patience* seconds and beside everybody else: its end says nothing of how
        Postgres is, and holds up nobody."""
        return await self._committed(arrival, partial(self._alone.put, patience=patience))

    async def answers(self) -> bool:
        """Whether Postgres is there, whatever it takes."""
        return await self._alone.answers()

    async def _committed(self, arrival: Arrival, put: Callable[[_Prepared], Awaitable[str]]) -> str:
        try:
            await self._keep_files(arrival.events)
            return await put(self._prepare(arrival))
        except Unavailable:
            raise
        except Exception as error:  # noqa: BLE001 - whatever is wrong with it, the bare request is kept
            why = str(error) if isinstance(error, Poisoned) else type(error).__name__
            reason = f"cannot be stored as understood: {why}"
        named = {"payload_id": str(arrival.payload.id), "channel": arrival.payload.channel}
        log.warning("quarantined", **named)
        try:
            return await put(_Prepared(_quarantined(arrival.payload, reason), Rows()))
        except Poisoned as error:
            log.error("the bare request is refused", reason=str(error), **named)
            if is_of_disk(error.__cause__):
                raise Unavailable(str(error)) from error
            raise Unstorable(str(error)) from error

    async def _keep_files(self, events: Sequence[Event]) -> None:
        """Before the rows that name them: a file without a row is only room lost, a row without its file
        would be an acknowledged loss."""
        if self._store is None:
            return
        for content in contents(events):
            try:
                await asyncio.to_thread(self._store.put, content)
            except OSError as error:
                log.error("a file cannot be written", reason=str(error.strerror))
                raise Unwritable(f"a file cannot be written: {error.strerror}") from error

    def _prepare(self, arrival: Arrival) -> _Prepared:
        payload, store = arrival.payload, self._store
        link = store.links.to if store else None
        made = rows(arrival.events, arrival.source, payload.id, payload.received_at, link, self._opt_outs)
        if made.foreign:
            self._say_foreign(payload, made.foreign)
        return _Prepared(payload, placed(made, payload.id, payload.received_at) if arrival.late else made)

    def _say_foreign(self, payload: PayloadRow, written_to: Sequence[str]) -> None:
        """Once in a while for each channel: it is an operator's slip, or a stranger who repeats it."""
        now = asyncio.get_running_loop().time()
        if now - self._said.get(payload.channel, -math.inf) >= _SILENCE:
            self._said[payload.channel] = now
            number = phone.masked(written_to[0])
            log.warning(
                "a number of other channels", channel=payload.channel, to=number, payload_id=str(payload.id)
            )

    async def _write(self, connection: Connection, batch: Sequence[_Prepared]) -> list[str]:
        written = await connection.fetch(
            self._statement,
            [prepared.payload for prepared in batch],
            [row for prepared in batch for row in prepared.rows.events],
            [row for prepared in batch for row in prepared.rows.inbounds],
            [row for prepared in batch for row in prepared.rows.files],
            [row for prepared in batch for row in prepared.rows.templates],
            others_of(prepared.rows for prepared in batch),
        )
        kept: dict[UUID, str] = {row["payload_id"]: row["state"] for row in written}
        # no row: an earlier try of this batch had committed after all
        states = [kept.get(prepared.payload.id, prepared.payload.state) for prepared in batch]
        for prepared, state in zip(batch, states, strict=True):
            stored(prepared.payload.channel, state, prepared.rows.events)
        for row in written:
            if row["payload_id"] is None:
                found(row["channel"], row["found_by"], row["reports"])
        return states


def _weight(prepared: _Prepared) -> int:
    return max(1, len(prepared.rows.events), len(prepared.payload.body) // _BYTES_PER_EVENT)


def _size(prepared: _Prepared) -> int:
    """Returns about how many bytes *prepared* takes: the body, as it came and as understood, and its rows."""
    rows = prepared.rows
    number = 1 + len(rows.events) + len(rows.inbounds) + len(rows.files)
    return 2 * len(prepared.payload.body) + 2048 * number


def _quarantined(payload: PayloadRow, reason: str) -> PayloadRow:
    if payload.state == "unverified":
        return payload  # nothing in it counts as understood before it counts as authentic
    return payload._replace(
        state="quarantined", reason=reason.replace("\0", "").encode("utf-8", "replace").decode()[:500]
    )
