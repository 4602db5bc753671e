"""The queue itself: claimed, marked and settled over connections of its own."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from uuid import UUID

import asyncpg

from receiver import db
from receiver.commit import GroupCommit
from receiver.db import Connection
from receiver.outbox.call import CALL_LEASE, CLAIM_LEASE, Claim, PendingCall, pending_call
from receiver.outbox.settlement import Settlement, events, settled, template
from receiver.sql import qualified

#: seconds for a connection, and for an answer
PATIENCE = 5.0


class Outbox:
    """Over connections of its own: some claim, others commit marks and settlements in groups."""

    def __init__(self, database_url: str, schema: str) -> None:
        self._url = database_url
        self._claim = qualified("SELECT * FROM postback.claim($1, $2, $3, $4, $5, $6)", schema)
        self._begin = qualified("SELECT * FROM postback.begin_calls($1, $2, $3, $4, $5, $6, $7)", schema)
        self._settle = qualified("SELECT postback.settle($1, $2, $3)", schema)
        self._expire = qualified("SELECT * FROM postback.expire_leases()", schema)
        self._lapse = qualified("SELECT postback.lapse($1, $2, $3)", schema)
        self._pool: asyncpg.Pool[asyncpg.Record]
        self._begins = GroupCommit[Claim, PendingCall | None](
            partial(db.prepared, database_url, self._begin), self._write_begins, repeatable=True, name="calls"
        )
        self._settlements = GroupCommit[Settlement, None](
            partial(db.prepared, database_url, self._settle),
            self._write_settlements,
            repeatable=True,
            name="settlements",
        )

    async def open(self) -> None:
        self._pool = await db.pool(self._url, size=2)
        self._begins.open()
        self._settlements.open()

    async def close(self) -> None:
        await asyncio.gather(self._begins.close(), self._settlements.close(), db.let_go(self._pool))

    async def claim(
        self,
        channel: str,
        calls: int,
        rate: float | None,
        *,
        recipients_per_call: int = 1,
        call_lease: timedelta = CALL_LEASE,
        account: str | None = None,
        reference_kinds: frozenset[str] = frozenset(),
        app_reference: bool = False,
    ) -> list[Claim]:
        """Queued rows of *channel* for up to *calls* calls; *rate* is calls per second, over all senders and
        channels of *account* (the channel by itself, if None), *call_lease* how long each call may take. The
        rest is of the `Claim`."""
        spacing = timedelta(seconds=1 / rate) if rate else None
        rows = await self._fetch(
            self._claim, channel, calls, recipients_per_call, spacing, CLAIM_LEASE, account
        )
        shared: dict[int, list[asyncpg.Record]] = defaultdict(list)
        for row in rows:
            shared[row["call"]].append(row)
        return [
            Claim(
                ids=tuple(row["id"] for row in members),
                turn_in=max(members[0]["turn_in"].total_seconds(), 0.0),
                per_recipient=recipients_per_call > 1 and members[0]["kind"] == "message",
                call_lease=call_lease,
                until=members[0]["claimed_until"],
                reference_kinds=reference_kinds,
                app_reference=app_reference,
            )
            for _, members in sorted(shared.items())
        ]

    async def begin(self, claim: Claim) -> PendingCall | None:
        """Marks *claim* as ``calling``; None when it was lost meanwhile. Marking twice is marking once.

        Raises ``Unavailable``, and then nobody knows whether it is marked.
        """
        return await self._begins.put(claim)

    async def settle(self, settlement: Settlement) -> None:
        """Writes what became of a call; twice is once. Raises ``Unavailable`` and ``Poisoned``."""
        await self._settlements.put(settlement)

    async def expire_leases(self) -> list[asyncpg.Record]:
        """Queues dead claims again; answers with the calls whose time is over and that nobody has settled."""
        return await self._fetch(self._expire)

    async def lapse(self, calls: Sequence[Settlement]) -> list[UUID]:
        """Gives up *calls* that `expire_leases` told of; answers with the ids of those that were not settled
        meanwhile. An answer to one of them still counts when it comes."""
        [row] = await self._fetch(
            self._lapse,
            [call.id for call in calls],
            [call.submission_id for call in calls],
            [event for call in calls if call.kind == "message" for event in events(call)],
        )
        given_up: list[UUID] = row[0]
        return given_up

    async def _fetch(self, statement: str, *values: object) -> list[asyncpg.Record]:
        async with db.pooled(self._pool, PATIENCE) as connection:
            rows: list[asyncpg.Record] = await connection.fetch(statement, *values, timeout=PATIENCE)
            return rows

    async def _write_begins(
        self, connection: Connection, claims: Sequence[Claim]
    ) -> list[PendingCall | None]:
        members = [(row, call) for call, claim in enumerate(claims) for row in claim.ids]
        rows = await connection.fetch(
            self._begin,
            [row for row, _ in members],
            [claims[call].submission_id for _, call in members],
            [claims[call].per_recipient for _, call in members],
            [claims[call].call_lease for _, call in members],
            [claims[call].until for _, call in members],
            [" ".join(sorted(claims[call].reference_kinds)) for _, call in members],
            [claims[call].app_reference for _, call in members],
        )
        begun: dict[UUID, list[asyncpg.Record]] = defaultdict(list)
        for row in rows:
            begun[row["submission_id"]].append(row)
        return [
            pending_call(begun[claim.submission_id]) if claim.submission_id in begun else None
            for claim in claims
        ]

    async def _write_settlements(
        self, connection: Connection, settlements: Sequence[Settlement]
    ) -> list[None]:
        await connection.fetch(
            self._settle,
            [settled(s) for s in settlements],
            [event for s in settlements if s.kind == "message" for event in events(s)],
            [template(s) for s in settlements if s.kind == "template" and s.again_in is None],
        )
        return [None] * len(settlements)
