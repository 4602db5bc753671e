"""API keys: who may ask, for what, of which channels, and how often.

A key is ``pb_<id>.<secret><proof>``, shown once; kept is a keyed hash of it. The proof, made with
``secret_key``, shows that the key was made here: one that was invented is refused without asking Postgres.
Keys that were made before there were proofs have none. A key holds exactly its scopes: ``read`` reads,
``send`` sends and replies, ``admin`` everything else.
"""

import base64
import json
import re
import secrets as random
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, ColumnElement, Text, func, literal, or_
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.orm import Mapped
from sqlmodel import col, insert, select, update
from uuid_utils.compat import uuid7

from models import ApiKey
from receiver.db import snapshot
from receiver.keyring import Keyring
from receiver.keyuse import KeyUse
from receiver.problems import Code, Problem
from receiver.rates import Allowance, Rates
from receiver.secrets import Secrets

#: the only channels that an asker may see; None is all of them
Channels = frozenset[str] | None

_PURPOSE, _PROOF = "api-key", "api-key-proof"
#: bytes of a proof, 22 characters
_PROOF_BYTES = 16
_KEY = re.compile(r"(?a)(pb_([0-9a-f]{32})\.[A-Za-z0-9_-]{43})([A-Za-z0-9_-]{22})?")
#: characters of an ``Authorization`` header that is looked at: longer than any that holds a key
_LONGEST = 128


def within(names: Mapped[Any], channels: frozenset[str]) -> ColumnElement[bool]:
    """Whether a column of channels' names holds only such as are among *channels*."""
    return names.op("<@", is_comparison=True)(literal(sorted(channels), ARRAY(Text)))


def scope_of(name: str, channels: Channels) -> str:
    """Returns whose uploads and ``Idempotency-Key``s those of a key are: its name's, so that they survive its
    rotation, and of a key that is bound to *channels* the name's with these."""
    return name if channels is None else json.dumps([name, sorted(channels)])


class Scope(StrEnum):
    READ = "read"
    SEND = "send"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks. *channels* are the only ones that it may see, None all of them."""

    id: UUID
    name: str
    scopes: frozenset[str]
    channels: frozenset[str] | None

    def require(self, scope: Scope) -> None:
        """Raises ``Problem`` (403)."""
        if scope not in self.scopes:
            raise Problem(Code.FORBIDDEN, f'This needs an API key with the scope "{scope}".')


@dataclass(frozen=True, slots=True)
class Presented:
    """A key that a caller may have. *proven*: it was made here, and may be revoked by now."""

    id: UUID
    key: str
    proven: bool


class Auth:
    """Knows keys. One per process; its memory of keys and of their rates is the process's own."""

    def __init__(self, engine: AsyncEngine, secrets: Secrets, rate: int) -> None:
        self._secrets, self._rates = secrets, Rates(rate)
        self._keyring = Keyring(engine)
        self._use = KeyUse(engine)

    def presented(self, authorization: str | None) -> Presented:
        """Returns the key in an ``Authorization`` header, as far as it can be told without Postgres.

        Raises ``Problem`` (401) where there is none, or one that was never made.
        """
        scheme, _, token = (authorization or "")[:_LONGEST].partition(" ")
        found = _KEY.fullmatch(token.strip()) if scheme.lower() == "bearer" else None
        if found is None:
            raise _unauthorized("Send the header Authorization: Bearer pb_... with an API key.")
        made, key_id, proof = found.groups()
        if proof and proof not in _proofs(self._secrets, made):
            raise _unknown()
        return Presented(UUID(key_id), found[0], proof is not None)

    async def authenticate(self, presented: Presented) -> Principal:
        """Returns whose key was *presented*. Raises ``Problem`` (401)."""
        key = await self._keyring.key(presented.id, proven=presented.proven)
        if (
            key is None
            or key.revoked_at is not None
            or not self._secrets.matches(_PURPOSE, presented.key.encode(), key.secret_hash)
        ):
            raise _unknown()
        if key.expires_at is not None and key.expires_at <= datetime.now(UTC):
            raise _unauthorized(f"This API key expired at {key.expires_at:%Y-%m-%dT%H:%M:%SZ}.")
        self._use.note(key.id)
        channels = None if key.channels is None else frozenset(key.channels)
        return Principal(key.id, key.name, frozenset(key.scopes), channels)

    async def close(self) -> None:
        await self._use.close()

    def spend(self, principal: Principal) -> Allowance:
        """Takes one request out of the key's rate. Raises ``Problem`` (429) where nothing is left of it."""
        return self._rates.spend(principal.id)


async def create_key(
    engine: AsyncEngine,
    secrets: Secrets,
    *,
    name: str,
    scopes: Collection[str] = (Scope.READ,),
    channels: Collection[str] | None = None,
    expires_at: datetime | None = None,
) -> str:
    """Makes a key and returns it, the only time.

    Without *channels* it sees all of them; without *expires_at* it works until it is revoked.

    Raises ``ValueError`` for an empty name, one that a working key for other channels has, a scope that does
    not exist or none at all, channels without a name or none at all, and an end that is past.
    """
    if not name.strip():
        raise ValueError("an API key needs a name")
    if channels is not None and not (channels and all(channels)):
        raise ValueError("a channel needs a name; leave channels out for all of them")
    if expires_at is not None and expires_at <= datetime.now(UTC):
        raise ValueError(f"{expires_at:%Y-%m-%dT%H:%M:%SZ} is past")
    unknown = sorted(set(scopes) - set(Scope))
    if unknown or not scopes:
        raise ValueError(
            f"scopes are read, send and admin; there is no {', '.join(unknown) or 'key without'}"
        )
    key_id = uuid7()
    made = f"pb_{key_id.hex}.{random.token_urlsafe(32)}"
    key = made + _proofs(secrets, made)[0]
    values = {
        "id": key_id,
        "name": name,
        "scopes": sorted(set(scopes)),
        "channels": None if channels is None else sorted(set(channels)),
        "secret_hash": secrets.keyed_hash(_PURPOSE, key.encode()),
        "created_at": datetime.now(UTC),
        "revoked_at": None,
        "expires_at": expires_at,
    }
    async with engine.begin() as connection:
        await _share_a_name(connection, name, channels)
        await connection.execute(insert(ApiKey).values(values))
    return key


async def _share_a_name(connection: AsyncConnection, name: str, channels: Collection[str] | None) -> None:
    """Raises ``ValueError`` where a key that works is called *name* and sees other channels: keys of one name
    share what they upload and their ``Idempotency-Key``s."""
    ends = col(ApiKey.expires_at)
    working = select(col(ApiKey.channels)).where(
        col(ApiKey.name) == name, col(ApiKey.revoked_at).is_(None), or_(ends.is_(None), ends > func.now())
    )
    wanted = None if channels is None else set(channels)
    for seen in (await connection.execute(working)).scalars():
        if (None if seen is None else set(seen)) != wanted:
            which = "all channels" if seen is None else ", ".join(seen)
            raise ValueError(
                f'"{name}" is the name of a key that sees {which}, and keys of one name see the same '
                "channels; choose another name, or revoke that key first"
            )


async def list_keys(engine: AsyncEngine) -> Sequence[ApiKey]:
    """All keys, revoked ones included, oldest first."""
    async with snapshot(engine) as session:
        return (await session.scalars(select(ApiKey).order_by(col(ApiKey.id)))).all()


async def revoke_key(engine: AsyncEngine, key_id: UUID) -> bool:
    """Whether there was such a key to revoke; one that was revoked before stays so."""
    query = (
        update(ApiKey)
        .where(col(ApiKey.id) == key_id)
        .values(revoked_at=func.coalesce(ApiKey.revoked_at, func.now()))
        .returning(col(ApiKey.id))
    )
    async with engine.begin() as connection:
        return (await connection.execute(query)).first() is not None


def _proofs(secrets: Secrets, made: str) -> list[str]:
    """Returns the proofs of a key, 22 characters each, under every secret key, the first one's first."""
    digests = (digest[:_PROOF_BYTES] for digest in secrets.keyed_hashes(_PROOF, made.encode()))
    return [base64.urlsafe_b64encode(digest).decode().rstrip("=") for digest in digests]


def _unknown() -> Problem:
    return _unauthorized("This API key is unknown or revoked.")


def _unauthorized(detail: str) -> Problem:
    return Problem(Code.UNAUTHORIZED, detail, headers={"WWW-Authenticate": "Bearer"})
