"""Who may ask, and for what."""

from sqlalchemy import Column, DateTime, func
from sqlmodel import Field, SQLModel

from models.base import UUID, datetime, table_args, text_array, timestamp


class ApiKey(SQLModel, table=True):
    """The key itself is shown once; kept is a keyed hash of its secret part.

    ``scopes`` holds ``read``, ``send``, ``admin``; a key with ``channels`` sees nothing of the others.
    ``last_used_at`` is up to a minute old.
    """

    __tablename__ = "api_key"
    __table_args__ = table_args()

    id: UUID = Field(primary_key=True)
    name: str
    scopes: list[str] = text_array()
    channels: list[str] | None = text_array(nullable=True)
    secret_hash: bytes
    created_at: datetime = timestamp()
    revoked_at: datetime | None = timestamp(nullable=True)
    expires_at: datetime | None = timestamp(nullable=True)
    last_used_at: datetime | None = timestamp(nullable=True)


class SecretKeyCheck(SQLModel, table=True):
    """A keyed hash of a constant: tells a wrong ``secret_key`` at start-up instead of at the first use.

    ``since`` is when the key was first used as the first one, or when the column was made.
    """

    __tablename__ = "secret_key_check"
    __table_args__ = table_args()

    fingerprint: bytes = Field(primary_key=True)
    since: datetime = Field(
        default=None,
        sa_column=Column(DateTime(timezone=True), nullable=False, server_default=func.now()),
    )
