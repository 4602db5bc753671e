"""Alembic's own commands (``alembic upgrade head``), on the database that ``postback`` would use.

They read the same configuration, use the embedded server where no other is named, wait for others as
``postback migrate`` does, and end in one sentence where they cannot work.
"""

import asyncio
import itertools
import logging
import re
from collections.abc import Callable
from functools import partial

from alembic import context
from alembic.util import CommandError
from sqlalchemy import Connection

from migrations import offline
from postback import failures, logs
from postback.start import borrowed, configured, in_sentences
from receiver import migrate
from receiver.db import DatabaseError


def carry_out(run: Callable[[Connection, str], None]) -> None:
    """Carries out the command that Alembic was called with; *run* does its part on a connection, in a schema.

    Raises ``CommandError``, which Alembic prints as one sentence.
    """
    logs.configure()
    logging.getLogger("alembic.util.messaging").disabled = True  # it is printed as well
    try:
        if context.is_offline_mode():
            offline.write(configured().db_schema, _command())
            return
        with borrowed(configured()) as settings:
            asyncio.run(in_sentences(settings, partial(_on_database, run=run)))
    except failures.SENTENCES as error:
        raise CommandError(str(error)) from None


async def _on_database(url: str, schema: str, *, run: Callable[[Connection, str], None]) -> None:
    def step(connection: Connection) -> None:
        run(connection, schema)

    command = _command()
    if command == "upgrade":
        await migrate.upgrade(url, schema, _once(step) if _is_relative() else step)
    elif command == "downgrade":
        await migrate.downgrade(url, schema, step=_once(step) if _is_relative() else step)
    else:
        await migrate.on_connection(url, step)


def _is_relative() -> bool:
    """Returns whether the revision to go to is counted from the one that is there (``+1``)."""
    return bool(re.search("[+-][0-9]+$", str(context.get_revision_argument())))


def _once(step: migrate.Step) -> migrate.Step:
    """Returns *step*, which refuses to be taken again: it would count from where the first try stopped."""
    tries = itertools.count(1)

    def taken(connection: Connection) -> None:
        if next(tries) > 1:
            raise DatabaseError(
                "The tables are in use, and a relative revision is tried once; name the revision, "
                "or try again."
            )
        step(connection)

    return taken


def _command() -> str:
    """Returns the name of what Alembic does with each migration: ``upgrade``, ``downgrade``, or another."""
    context.configure(dialect_name="postgresql")
    return str(context.get_context().opts["fn"].__name__)
