"""The table of files: what was uploaded, and what carriers brought."""

import asyncio
from collections.abc import Collection
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import ColumnElement, cast, exists, func
from sqlalchemy.dialects.postgresql import JSONPATH
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel import col, insert, select
from uuid_utils.compat import uuid7

from models import File, Template
from receiver.db import snapshot
from receiver.media.links import PREFIX, file_name
from receiver.media.sniff import CONTENT_TYPES, type_of
from receiver.media.store import Store


class Unusable(Exception):
    """A file that no MMS carries; the message says why, for people."""


class Unwritable(Exception):
    """The disk does not take a file; the message says why."""


class Files:
    def __init__(self, engine: AsyncEngine, store: Store) -> None:
        self._engine = engine
        self.store = store

    async def add(self, content: bytes, *, claimed: str | None, name: str | None, api_key: str) -> File:
        """Stores an upload. Raises ``Unusable`` or ``Unwritable``."""
        content_type = type_of(content, claimed)
        if content_type is None:
            allowed = ", ".join(CONTENT_TYPES)
            raise Unusable(f"By its bytes the file is none of these: {allowed}.")
        try:
            digest = await asyncio.to_thread(self.store.put, content)
        except OSError as error:
            raise Unwritable(str(error.strerror)) from error
        file = File(
            id=uuid7(),
            sha256=digest,
            size=len(content),
            content_type=content_type,
            name=file_name(name, content_type),
            created_at=datetime.now(UTC),
            api_key=api_key,
        )
        async with self._engine.begin() as connection:
            await connection.execute(insert(File).values(file.model_dump()))
        return file

    async def opens_without_end(self, file: File) -> bool:
        """Returns whether an address that says nothing about its end opens *file*: while there is a template
        that was made with it, and for a lifetime from when it came, for versions before this one gave out no
        others."""
        if datetime.now(UTC) - file.created_at < self.store.links.lifetime:
            return True
        async with snapshot(self._engine) as session:
            return bool(await session.scalar(select(exists().where(made_with(file.id)))))

    async def find(self, file_ids: Collection[UUID]) -> dict[UUID, File]:
        """Those of *file_ids* that exist."""
        if not file_ids:
            return {}
        async with snapshot(self._engine) as session:
            rows = await session.scalars(select(File).where(col(File.id).in_(set(file_ids))))
            return {row.id: row for row in rows}


def made_with(file_id: UUID | None = None) -> ColumnElement[bool]:
    """Returns whether a template was made with the file *file_id*, or with any file of ours."""
    # as in receiver/sql/retention.sql: templates of versions before this one know addresses only
    kept, address = ("!= null", "[0-9a-f-]{36}") if file_id is None else (f'== "{file_id}"', str(file_id))
    path = f'$.media[*] ? (@.file {kept} || (!exists(@.file) && @.url like_regex "{PREFIX}{address}/"))'
    return func.jsonb_path_exists(col(Template.content), cast(path, JSONPATH))
