"""A new first ``secret_key``: what is encrypted is encrypted anew, and what else still needs an older key.

Hashes and signatures cannot be made anew: what they were made of is not kept, or lies with somebody else.
They are told by the moment when the first key was first used with the database: what was made before needs an
older key.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import String, cast, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlmodel import col

from models import ApiKey, File, OptOutEntry, Payload, SecretKeyCheck, Subscriber, Template
from receiver.config import Settings
from receiver.id_times import first_id
from receiver.media.files import made_with
from receiver.media.links import FOR_CARRIERS, STEP
from receiver.secrets import Secrets, Undecryptable
from receiver.subscribers import PURPOSE

#: names in a sentence; of more it is told how many
MOST_NAMES = 10


@dataclass(frozen=True, slots=True)
class Done:
    """The outcome for a subscriber: whether a secret of it was *renewed*, and whether one that signs is
    *lost*, because no listed key reads it."""

    subscriber: UUID
    renewed: bool
    lost: bool


@dataclass(frozen=True, slots=True)
class Need:
    """*what* still needs an older key, and *until* when, in words that say what to do about it."""

    what: str
    until: str


async def subscribers(engine: AsyncEngine) -> Sequence[UUID]:
    """Returns the ids of all subscribers, the oldest first."""
    async with engine.connect() as connection:
        return (await connection.scalars(select(col(Subscriber.id)).order_by(col(Subscriber.id)))).all()


async def renewed(engine: AsyncEngine, keys: Secrets, wanted: Sequence[UUID]) -> AsyncIterator[Done]:
    """Encrypts the secrets of the subscribers *wanted* under the first key, each in a transaction of its own.

    A secret that is encrypted under it already is left alone, so that this may be stopped and repeated at any
    time.
    """
    for subscriber in wanted:
        async with engine.begin() as connection:
            done = await _renew(connection, keys, subscriber)
        yield done


async def needs(engine: AsyncEngine, keys: Secrets, settings: Settings) -> list[Need]:
    """Returns what was made with an older key than the first, cannot be made anew, and may still be used."""
    found_anyway = set(settings.secret_key[1:]) <= set(settings.opt_out_keys)
    async with engine.connect() as connection:
        first = select(col(SecretKeyCheck.since)).where(col(SecretKeyCheck.fingerprint) == keys.fingerprint)
        since = (await connection.execute(first)).scalar_one()
        found = [
            await _api_keys(connection, since),
            await _files(connection, since, settings.media_url_days),
            await _templates(connection, since),
            await _unverified(connection, since, settings.retention.payloads),
            None if found_anyway else await _erased(connection, since),
        ]
    return [need for need in found if need]


async def _renew(connection: AsyncConnection, keys: Secrets, subscriber: UUID) -> Done:
    mine = col(Subscriber.id) == subscriber
    query = select(
        col(Subscriber.secret), col(Subscriber.previous_secret), col(Subscriber.previous_until),
        col(Subscriber.earlier_secrets), col(Subscriber.earlier_until),
    ).where(mine).with_for_update(key_share=True)  # fmt: skip
    row = (await connection.execute(query)).first()
    if row is None:  # deleted meanwhile
        return Done(subscriber, renewed=False, lost=False)
    anew = _Anew(keys, datetime.now(UTC))
    earlier = zip(row.earlier_secrets, row.earlier_until, strict=True)
    values = {
        "secret": anew.of(row.secret, None),
        "previous_secret": row.previous_secret and anew.of(row.previous_secret, row.previous_until),
        "earlier_secrets": [anew.of(one, until) for one, until in earlier],
    }
    if anew.made:
        await connection.execute(update(Subscriber).where(mine).values(values))
    return Done(subscriber, renewed=anew.made > 0, lost=anew.lost > 0)


class _Anew:
    """The secrets of one subscriber; *made* and *lost* count those that were encrypted anew, or cannot be."""

    def __init__(self, keys: Secrets, now: datetime) -> None:
        self._keys, self._now = keys, now
        self.made = self.lost = 0

    def of(self, secret: bytes, until: datetime | None) -> bytes:
        try:
            found = self._keys.renewed(PURPOSE, secret)
        except Undecryptable:
            # one whose time is over signs nothing any more, and may be older than the oldest key
            self.lost += until is None or until > self._now
            return secret
        self.made += found is not None
        return found or secret


async def _api_keys(connection: AsyncConnection, since: datetime) -> Need | None:
    expiry, now = col(ApiKey.expires_at), datetime.now(UTC)
    query = select(col(ApiKey.name), expiry).where(
        col(ApiKey.created_at) < since, col(ApiKey.revoked_at).is_(None), (expiry.is_(None)) | (expiry > now)
    )
    rows = (await connection.execute(query.order_by(col(ApiKey.id)))).all()
    if not rows:
        return None
    ends = [row.expires_at for row in rows]
    last = "" if None in ends else f", or wait until {_shown(max(ends))}, when the last of them ends"
    named = _named([row.name for row in rows])
    todo = "make others with `postback keys create`, hand them out and revoke these"
    return Need(f"{len(rows)} API keys ({named})", f"{todo}{last}")


async def _files(connection: AsyncConnection, since: datetime, days: int) -> Need | None:
    ends = since + max(timedelta(days=days), FOR_CARRIERS) + STEP
    query = select(func.count()).select_from(File).where(col(File.created_at) < since)
    if ends <= datetime.now(UTC) or not (await connection.execute(query)).scalar_one():
        return None
    return Need(
        f"addresses of files that were given out before {_shown(since)}",
        f"wait until {_shown(ends)}, or a week longer than the latest send_at of what carriers still hold",
    )


async def _templates(connection: AsyncConnection, since: datetime) -> Need | None:
    query = select(func.count()).where(col(Template.id) < first_id(since), made_with())
    found = (await connection.execute(query)).scalar_one()
    if not found:
        return None
    return Need(f"the files of {found} templates", "save these templates anew, and send with the new ones")


async def _unverified(connection: AsyncConnection, since: datetime, days: int) -> Need | None:
    query = select(func.count()).where(
        col(Payload.state) == "unverified",
        col(Payload.id) < first_id(since),
        cast(col(Payload.headers), String).contains('"hmac:'),
    )
    found = (await connection.execute(query)).scalar_one()
    if not found:
        return None
    todo = "mend their channel and run `postback payloads replay --state unverified`"
    gone = f", or wait until {_shown(since + timedelta(days=days))}, when they are gone" if days else ""
    return Need(f"{found} requests without proof, which keep a hash of their credential", f"{todo}{gone}")


async def _erased(connection: AsyncConnection, since: datetime) -> Need | None:
    hashed = col(OptOutEntry.contact_hash)
    query = select(func.count(hashed.distinct())).where(hashed != b"", col(OptOutEntry.at) < since)
    found = (await connection.execute(query)).scalar_one()
    if not found:
        return None
    return Need(
        f"the opt-outs of {found} erased people",
        "without end, or they could be written to again: list it as opt_out_keys, where it does nothing else",
    )


def _named(names: Sequence[str]) -> str:
    more = len(names) - MOST_NAMES
    return ", ".join(names[:MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def _shown(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
