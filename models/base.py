"""What all tables share: one Postgres schema, named by a setting, and columns that know their type.

The name here is a placeholder that `receiver.db` and the migrations replace by the configured schema, so
that no statement ever relies on a search path (a pooler in transaction mode would lose it).
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Column, DateTime, Text, Uuid
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


def uuid_array() -> Any:
    return Field(default=None, sa_column=Column(ARRAY(Uuid), nullable=False))


def json(*, nullable: bool = False) -> Any:
    return Field(default=None, sa_column=Column(JSONB, nullable=nullable))


__all__ = ["SCHEMA", "UUID", "datetime", "json", "table_args", "text_array", "timestamp", "uuid_array"]
