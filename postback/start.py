"""From the configuration to settings that name a running database: what every command begins with."""

from collections.abc import Iterator
from contextlib import contextmanager

from postback.embedded import EmbeddedPostgres, running_url
from receiver import secrets
from receiver.config import ConfigError, Settings


def connected(settings: Settings) -> Settings:
    """*settings* with the database of the ``up`` that runs on the same data directory, where it names none.

    Raises ``ConfigError``.
    """
    if not settings.embedded:
        return settings
    url = running_url(settings.data_dir)
    if url is None:
        raise ConfigError(
            f"No Postgres runs on {settings.data_dir}; start `postback up` there first, or set database_url."
        )
    return with_database(settings, url)


@contextmanager
def borrowed(settings: Settings) -> Iterator[Settings]:
    """The same, but an embedded server that does not run is started for as long as it is needed."""
    if not settings.embedded or running_url(settings.data_dir) is not None:
        yield connected(settings)
        return
    with EmbeddedPostgres(settings.data_dir) as server:
        yield with_database(settings, server.url)


def with_database(settings: Settings, url: str) -> Settings:
    """*settings* on the embedded server at *url*, with the secret key that lies beside it."""
    return settings.model_copy(update={"database_url": url, "secret_key": secrets.configured(settings)})
