"""Tells of a failure that ends a command: a sentence where a person can mend it, else a line of the log."""

import sys

import structlog

from postback import logs
from postback.embedded import EmbeddedPostgresError
from postback.supervisor import SupervisorError
from receiver.config import ConfigError
from receiver.db import DatabaseError, of_losing
from receiver.serve import StartError

log = structlog.get_logger()

SENTENCES = (ConfigError, DatabaseError, EmbeddedPostgresError, StartError, SupervisorError)


def tell(error: Exception) -> None:
    """Prints the sentence of *error* on standard error, or logs it where it has none."""
    logs.configure()
    if isinstance(error, SENTENCES):
        print(error, file=sys.stderr)
    elif lost := of_losing(error):
        print(lost, file=sys.stderr)
    else:
        log.critical("ended by an error", exc_info=error)
