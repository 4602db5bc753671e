"""A carrier whose words a test can have understood one way first and another way later."""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
from uuid_utils.compat import uuid7

from models.errors import ErrorClass
from models.events import Event, Inbound, Report, Request, Unreadable
from models.status import FAILURE_BITS, STATUS_BIT, Status
from receiver.config import ChannelSettings, Settings, settings
from receiver.ingest import Arrival
from receiver.kept import Selection
from receiver.providers import PROVIDERS
from receiver.providers.sinch_mms import SinchMms
from receiver.replay import Replay
from receiver.replayed import Summary
from receiver.rows import PayloadRow
from receiver.secrets import Secrets
from receiver.sources import sources
from receiver.understand import understood
from tests.support.store import store

SECRETS = Secrets(["a secret key for tests"])
CHANNEL = "spoken"


class Dialect(SinchMms):
    """A body is a list of ``[message, word]``, for an inbound message ``[id, "says", text]``. *meanings* are
    statuses; a word that is missing there is unknown, one in *unheard* is passed over, and a body with one in
    *unreadable* makes no sense. *renamed*: words that count as others."""

    def __init__(
        self,
        meanings: Mapping[str, Status],
        *,
        unheard: Collection[str] = (),
        unreadable: Collection[str] = (),
        renamed: Mapping[str, str] | None = None,
    ) -> None:
        self.meanings, self.unheard, self.unreadable = meanings, unheard, unreadable
        self.renamed = renamed or {}

    def __repr__(self) -> str:
        return f"{self.meanings} without {self.unheard} and {self.unreadable}, renamed {self.renamed}"

    def parse(self, request: Request, channel: ChannelSettings) -> list[Event]:
        said = orjson.loads(request.body)
        if any(word in self.unreadable for _, word, *_ in said):
            raise Unreadable("a word that makes no sense")
        return [self._heard(*one) for one in said if one[1] not in self.unheard]

    def _heard(self, named: str, word: str, text: str | None = None) -> Event:
        if word == "says":
            return Inbound(named, (named,), sender="+12065550123", recipient="+18885551234", text=text)
        heard = self.renamed.get(word, word)
        status = self.meanings.get(heard)
        failed = status is not None and STATUS_BIT[status] & FAILURE_BITS
        return Report(
            named,
            word,
            status,
            (heard,),
            error=ErrorClass.CARRIER_ERROR if failed else None,
            provider_code=text,
        )


def configured(database_url: str, **channel: Any) -> Settings:
    spoken = {"provider": "sinch_mms", "tokens": ["a-token-of-tests"], **channel}
    return settings(
        {
            "database_url": database_url,
            "secret_key": ["a secret key for tests"],
            "channels": {CHANNEL: spoken},
        }
    )


def replay(database_url: str, dialect: SinchMms, **channel: Any) -> Replay:
    providers = {**PROVIDERS, "sinch_mms": dialect}
    return Replay(configured(database_url, **channel), providers, SECRETS, None)


async def heard(
    db: Any, dialect: SinchMms, said: list[Any], *, received_at: datetime | None = None, **payload: Any
) -> UUID:
    """A request that arrives while its carrier is understood as *dialect*; the id of its payload."""
    channel = configured("postgresql://nowhere").channels[CHANNEL]
    moment, body = received_at or datetime.now(UTC), orjson.dumps(said)
    state, reason, events = understood(dialect, channel, Request("POST", b"", {}, body, moment))
    row = PayloadRow(
        id=uuid7(), channel=CHANNEL, state=state, reason=reason, method="POST", query="", headers="{}",
        body=body, peer="127.0.0.1", received_at=moment,
    )._replace(**payload)  # fmt: skip
    events = events if row.state == "applied" else []
    await store(db, [Arrival(row, sources({CHANNEL: channel}, {channel.provider: dialect})[CHANNEL], events)])
    return row.id


async def replayed(replay: Replay, *ids: UUID, dry: bool = False) -> Summary:
    summary = Summary()
    async for part in (replay.predict if dry else replay.run)(Selection(ids=ids or None)):
        summary.add(part)
    return summary
