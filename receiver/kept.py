"""Carriers' requests as they were kept, to be read again.

Their credentials were not kept: of an ``Authorization`` header there is a keyed hash, which tells whether it
is the one that a setting asks for today.
"""

import base64
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

import orjson

from models.events import Request
from receiver.callers import Caller, authentic
from receiver.config import ChannelSettings
from receiver.db import Connection
from receiver.id_times import first_id
from receiver.providers.base import Provider
from receiver.secrets import Secrets
from receiver.sql import qualified

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: as `receiver.callers` keeps a credential
_HASHED = "hmac:"
#: the spellings of a scheme that HTTP libraries write; RFC 9110 lets them choose
_SPELLINGS = (str.title, str.lower, str.upper)


@dataclass(frozen=True, slots=True)
class KeptPayload:
    """*message_ids* are the messages that it told of, under the ids that they have now."""

    id: UUID
    channel: str
    state: str
    reason: str | None
    method: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    peer: str | None
    received_at: datetime
    message_ids: tuple[UUID, ...]

    @property
    def request(self) -> Request:
        query = self.query.encode("latin-1")
        return Request(self.method, query, self.headers, self.body, self.received_at)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which payloads; None stands for all. *visible* are the only channels that the asker may see; *since*
    and *until* are when they were received, from the first moment on, up to but not including the second."""

    state: str | None = None
    channel: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    ids: Collection[UUID] | None = None
    visible: Collection[str] | None = None

    def conditions(self) -> Iterator[tuple[str, Any]]:
        """Each as SQL with one parameter."""
        if self.state is not None:
            yield "p.state = {}", self.state
        if self.channel is not None:
            yield "p.channel = {}", self.channel
        # a payload's id is made when it is received, and is what the table is partitioned on
        if self.since is not None:
            yield "p.id >= {}", _first_id(self.since)
        if self.until is not None:
            yield "p.id < {}", _first_id(self.until)
        if self.ids is not None:
            yield "p.id = ANY ({}::uuid[])", list(self.ids)
        if self.visible is not None:
            yield "p.channel = ANY ({}::text[])", list(self.visible)


async def count(connection: Connection, selection: Selection, schema: str) -> int:
    where, values = _where(selection.conditions())
    found: int = await connection.fetchval(
        qualified("SELECT count(*) FROM postback.payload p", schema) + where, *values
    )
    return found


async def page(
    connection: Connection, selection: Selection, after: UUID, most: int, schema: str
) -> list[KeptPayload]:
    """The next *most* payloads after the one with the id *after*, oldest first."""
    where, values = _where([("p.id > {}", after), *selection.conditions()])
    columns = """SELECT p.*, ARRAY(SELECT coalesce(a.message_id, i.id) FROM unnest(p.message_ids) AS i (id)
                                   LEFT JOIN postback.adopted a ON a.id = i.id) AS told
                 FROM postback.payload p"""
    rows = await connection.fetch(
        qualified(columns, schema) + where + f" ORDER BY p.id LIMIT {most:d}", *values
    )
    return [
        KeptPayload(
            id=row["id"],
            channel=row["channel"],
            state=row["state"],
            reason=row["reason"],
            method=row["method"],
            query=row["query"],
            headers=orjson.loads(row["headers"]),
            body=row["body"],
            peer=row["peer"],
            received_at=row["received_at"],
            message_ids=tuple(row["told"]),
        )
        for row in rows
    ]


#: states in which nothing has been understood of a request, so no event refers to it
DISCARDABLE = ("unverified", "quarantined")
#: payloads that one transaction removes
_BATCH = 1000


class Tally(NamedTuple):
    """How many payloads of a channel, and the bytes of their bodies."""

    channel: str
    requests: int
    size: int


async def tally(connection: Connection, selection: Selection, schema: str) -> list[Tally]:
    """Returns the number and size of the payloads of *selection*, by channel."""
    where, values = _where(selection.conditions())
    text = """SELECT p.channel, count(*), coalesce(sum(octet_length(p.body)), 0)::bigint
              FROM postback.payload p"""
    rows = await connection.fetch(qualified(text, schema) + where + " GROUP BY 1 ORDER BY 1", *values)
    return [Tally(*row) for row in rows]


async def discard(connection: Connection, selection: Selection, schema: str) -> AsyncIterator[int]:
    """Removes what *selection* selects, the oldest first, and tells how many after each thousand. What
    somebody reads again at this moment stays. Raises ``ValueError`` for a state that events may refer to."""
    if selection.state not in DISCARDABLE:
        raise ValueError(f"payloads in state {selection.state!r} are not discarded")
    where, values = _where(selection.conditions())
    chosen = f"""{where} ORDER BY p.id LIMIT {_BATCH} FOR UPDATE SKIP LOCKED"""
    text = "DELETE FROM postback.payload WHERE id = ANY (ARRAY(SELECT p.id FROM postback.payload p{}))"
    statement = qualified(text.format(chosen), schema)
    while gone := int((await connection.execute(statement, *values)).rpartition(" ")[2]):
        yield gone


def _first_id(moment: datetime) -> UUID:
    return first_id(max(moment, _EPOCH))


def _where(conditions: Any) -> tuple[str, list[Any]]:
    texts, values = [], []
    for text, value in conditions:
        values.append(value)
        texts.append(text.format(f"${len(values)}"))
    return (" WHERE " + " AND ".join(texts) if texts else ""), values


def still_authentic(
    payload: KeptPayload, channel: ChannelSettings, provider: Provider, secrets: Secrets
) -> bool:
    """Whether its caller passes every check that the channel asks for today, beyond the token that it had.

    A signature's time window is judged at the time of receipt. May raise what a provider's check raises.
    """
    kept = payload.headers.get("authorization", "")
    unhashed = channel.model_copy(update={"basic": [], "bearer": []})
    return (
        (not channel.basic or any(_was(kept, "Basic", _base64(one), secrets) for one in channel.basic))
        and (not channel.bearer or any(_was(kept, "Bearer", one, secrets) for one in channel.bearer))
        and authentic(Caller(payload.request, payload.peer), unhashed, provider)
    )


def _was(kept: str, scheme: str, credentials: str, secrets: Secrets) -> bool:
    if not credentials or not kept.startswith(_HASHED):
        return False
    try:
        digest = bytes.fromhex(kept.removeprefix(_HASHED))
    except ValueError:
        return False
    return any(
        secrets.matches("credential", f"{spelt(scheme)} {credentials}".encode(), digest)
        for spelt in _SPELLINGS
    )


def _base64(credentials: str) -> str:
    return base64.b64encode(credentials.encode()).decode() if credentials else ""
