"""What all tables share: one Postgres schema, named by a setting, and columns that know their type.

The name here is a placeholder that `receiver.db` and the migrations replace by the configured schema, so
that no statement ever relies on a search path (a pooler in transaction mode would lose it).
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Column, DateTime, Text, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field

SCHEMA = "postback"


def table_args(*constraints: Any, **options: Any) -> tuple[Any, ...]:
    """``__table_args__`` of a table: its constraints and indexes, then Postgres's storage options."""
    return (*constraints, {"schema": SCHEMA, **options})


def timestamp(*, nullable: bool = False) -> Any:
    return Field(
        default=None,
        sa_type=DateTime(timezone=True),
        nullable=nullable,
    )


def text_array(*, nullable: bool = False) -> Any:
    return Field(default=None, sa_column=Column(ARRAY(Text), nullable=nullable))


def array(kind: Any, *, empty: bool = False) -> Any:
    """Returns a column of arrays, which are empty where nobody says otherwise if *empty*."""
    default = text("'{}'") if empty else None
    return Field(default=None, sa_column=Column(ARRAY(kind), nullable=False, server_default=default))


def uuid_array() -> Any:
    return array(Uuid)


def json(*, nullable: bool = False) -> Any:
    return Field(default=None, sa_column=Column(JSONB, nullable=nullable))


__all__ = [
    "SCHEMA",
    "UUID",
    "array",
    "datetime",
    "json",
    "table_args",
    "text_array",
    "timestamp",
    "uuid_array",
]
