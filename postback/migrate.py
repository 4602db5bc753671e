"""``postback migrate``."""

import asyncio

from postback.start import borrowed, configured, migrated


def migrate() -> None:
    """The database to the newest version."""
    with borrowed(configured()) as settings:
        asyncio.run(migrated(settings))
