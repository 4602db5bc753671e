"""Subscribers made, changed and asked to be sent something again. Who is sent what is `receiver.forward`'s.

A subscriber made by a key that is bound to channels hears only of those; such a key sees only subscribers of
its own channels.
"""

import base64
import secrets as random
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Row,
    case,
    delete,
    func,
    not_,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel import col, insert

from models import Delivery, FeedHead, Subscriber
from receiver import addresses
from receiver.addresses import Forbidden, Network
from receiver.auth import Channels, within
from receiver.problems import Code, invalid
from receiver.rows import new_id
from receiver.secrets import Secrets

#: what its secrets are encrypted for
PURPOSE = "subscriber"
#: secrets that sign at a time; of more, those whose time ends first sign no longer. Each takes 48 bytes of a
#: header, and servers refuse headers of 8 KiB
MOST_SECRETS = 50
_PREFIX = "whsec_"
#: what a new state brings with it
_CHANGES: dict[str, dict[str, Any]] = {
    "active": {"disabled_reason": None, "failing_since": None},
    "disabled": {"disabled_reason": "by an API key", "holder": None},
}


def visible(channels: Channels) -> ColumnElement[bool]:
    """Those that a key of these channels may see."""
    if channels is None:
        return true()
    return within(col(Subscriber.visible), channels)


def shown(secret: bytes) -> str:
    """As Standard Webhooks libraries take it."""
    return _PREFIX + base64.b64encode(secret).decode()


def check_url(url: str, networks: Sequence[Network]) -> None:
    """Refuses what can be refused without asking a resolver; the rest is checked at every try. Raises
    ``Problem``."""
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
        address = addresses.literal(parts.hostname or "")
        if address is not None:
            addresses.check(parts.scheme, port, [address], networks)
        elif (parts.scheme, port) != ("https", 443) and not networks:
            raise Forbidden("outside private_networks it must be https on port 443")
    except Forbidden as error:
        raise invalid("/url", f"cannot be posted to: {error}") from None
    except (KeyError, ValueError):
        raise invalid("/url", "cannot be posted to: it cannot be read as an address") from None


def check_channels(channels: Sequence[str] | None, known: Mapping[str, Any], mine: Channels) -> None:
    """Raises ``Problem`` for a channel that is not there, or not for this key."""
    for place, name in enumerate(channels or ()):
        if name not in known or (mine is not None and name not in mine):
            raise invalid(f"/channels/{place}", f"there is no channel {name!r}", Code.UNKNOWN_CHANNEL)


def earlier_secrets(row: Subscriber | Row[*tuple[Any, ...]]) -> list[tuple[bytes, datetime]]:
    """Returns the secrets before the one that counts, encrypted, the oldest first, each with its end."""
    earlier = list(zip(row.earlier_secrets, row.earlier_until, strict=True))
    if row.previous_secret is not None and row.previous_until is not None:
        earlier.append((row.previous_secret, row.previous_until))
    return earlier


class Subscribers:
    """The table. Answers None or False where there is no such subscriber that the key may see."""

    def __init__(self, engine: AsyncEngine, secrets: Secrets) -> None:
        self._engine, self._secrets = engine, secrets

    async def create(
        self, url: str, types: Sequence[str] | None, wanted: Sequence[str] | None, channels: Channels
    ) -> tuple[UUID, str]:
        """The new one's id and secret. It begins with what comes after now."""
        secret, subscriber_id = random.token_bytes(32), new_id()
        values = {
            "id": subscriber_id,
            "url": url,
            "types": types,
            "channels": wanted,
            "visible": None if channels is None else sorted(channels),
            "state": "active",
            "secret": self._secrets.encrypt(PURPOSE, secret),
            "cursor": select(col(FeedHead.seq)).scalar_subquery(),
            "replay": 0,
            "created_at": func.clock_timestamp(),
        }
        async with self._engine.begin() as connection:
            await connection.execute(insert(Subscriber).values(values))
        return subscriber_id, shown(secret)

    async def change(self, subscriber_id: UUID, values: Mapping[str, Any], channels: Channels) -> bool:
        """Sets *values*. One that is made active again begins where it stood, with what waits."""
        changes = dict(values)
        mine = select(col(Subscriber.state)).where(col(Subscriber.id) == subscriber_id, visible(channels))
        async with self._engine.begin() as connection:
            state = await connection.scalar(mine.with_for_update())
            if state is None:
                return False
            if changes.get("state", state) != state:
                changes |= _CHANGES[changes["state"]]
            if changes:
                await connection.execute(
                    update(Subscriber).where(col(Subscriber.id) == subscriber_id).values(changes)
                )
            if changes.get("state") == "active" != state:
                await connection.execute(
                    update(Delivery)
                    .where(
                        col(Delivery.subscriber_id) == subscriber_id,
                        col(Delivery.state).in_(("waiting", "parked")),
                        col(Delivery.state) != "delivered",  # as the index has it
                    )
                    .values(next_at=func.clock_timestamp())
                )
        return True

    async def rotate(self, subscriber_id: UUID, grace: timedelta, channels: Channels) -> str | None:
        """Makes and returns a new secret. The one before signs as well for *grace*, and those before that one
        until their own ends; without any grace all of them end now."""
        secret = random.token_bytes(32)
        mine = select(
            col(Subscriber.secret), col(Subscriber.previous_secret), col(Subscriber.previous_until),
            col(Subscriber.earlier_secrets), col(Subscriber.earlier_until),
        ).where(col(Subscriber.id) == subscriber_id, visible(channels))  # fmt: skip
        async with self._engine.begin() as connection:
            row = (await connection.execute(mine.with_for_update())).first()
            if row is None:
                return None
            now = datetime.now(UTC)
            earlier = [one for one in earlier_secrets(row) if grace and one[1] > now]
            while len(earlier) > MOST_SECRETS - 2:
                earlier.remove(min(earlier, key=itemgetter(1)))
            values = {
                "secret": self._secrets.encrypt(PURPOSE, secret),
                # also where the version before this one looks, which knows of one
                "previous_secret": row.secret if grace else None,
                "previous_until": now + grace if grace else None,
                "earlier_secrets": [one for one, _ in earlier],
                "earlier_until": [until for _, until in earlier],
            }
            await connection.execute(
                update(Subscriber).where(col(Subscriber.id) == subscriber_id).values(values)
            )
        return shown(secret)

    async def delete(self, subscriber_id: UUID, channels: Channels) -> bool:
        """What it was sent goes with its time; what it still should be sent goes at once."""
        query = delete(Subscriber).where(col(Subscriber.id) == subscriber_id, visible(channels))
        async with self._engine.begin() as connection:
            if (await connection.execute(query.returning(col(Subscriber.id)))).first() is None:
                return False
            await connection.execute(
                delete(Delivery).where(
                    col(Delivery.subscriber_id) == subscriber_id, col(Delivery.state) != "delivered"
                )
            )
        return True

    async def replay(self, subscriber_id: UUID, after: int, channels: Channels) -> bool:
        """Sends again what follows number *after*, as far as it has come; instead of an earlier replay."""
        query = (
            update(Subscriber)
            .where(col(Subscriber.id) == subscriber_id, visible(channels))
            .values(replay=Subscriber.replay + 1, replay_after=after, replay_through=Subscriber.cursor)
            .returning(col(Subscriber.id))
        )
        async with self._engine.begin() as connection:
            return (await connection.execute(query)).first() is not None

    async def retry(self, delivery_id: UUID, channels: Channels) -> bool:
        """Has it tried again soon. What waits for its turn keeps it; anything else waits for nobody and holds
        up nobody."""
        mine = select(col(Subscriber.id)).where(visible(channels))
        in_turn = col(Delivery.state) == "waiting"
        query = (
            update(Delivery)
            .where(col(Delivery.id) == delivery_id, col(Delivery.subscriber_id).in_(mine))
            .values(
                state=case((in_turn, "waiting"), else_="parked"),
                late=or_(col(Delivery.late), not_(in_turn)),
                next_at=func.clock_timestamp(),
            )
            .returning(col(Delivery.id))
        )
        async with self._engine.begin() as connection:
            return (await connection.execute(query)).first() is not None
