"""The meaning of an error of a statement for its sender: try the same again, wait, or change the values."""

import asyncpg

from receiver.db.errors import LOST, DatabaseError

_BUSY = ("40001", "40P01", "55P03")
_UNWELL = (*LOST, "25006", "26", "42", "53", "57", "23514")
#: errors of files and damaged pages: of one that a few items need, or of all
_DISK = ("58", "XX001", "XX002")
#: a disk that takes no more has a code, 53100; a limit on the size of files has none but "internal error"
_GROWING = "mdextend", "mdzeroextend"
#: classes of SQLSTATE that speak of the values in a statement: impossible values, broken keys, sizes
_OF_CONTENT = ("22", "23", "54")
#: except that a row which no partition takes finds one when the partition is made
_NO_PARTITION = "23514"


def is_busy(error: BaseException) -> bool:
    """A lock that somebody else holds, or a deadlock that Postgres broke: the same again may go."""
    return isinstance(error, asyncpg.PostgresError) and error.sqlstate in _BUSY


def is_refusal(error: BaseException) -> bool:
    """Whether the server itself has answered with *error* and lives on: then nothing was committed."""
    return isinstance(error, asyncpg.PostgresError) and not (error.sqlstate or "08").startswith(LOST)


def lacks_room(error: asyncpg.PostgresError) -> bool:
    """Whether a file of the server's cannot grow: the one case that has no code of its own."""
    return (error.server_source_function or "").startswith(_GROWING)


def is_unwell(error: Exception) -> bool:
    """Whether *error* speaks of the database and not of what was written to it."""
    if isinstance(error, asyncpg.PostgresError):
        return lacks_room(error) or (error.sqlstate or "").startswith(_UNWELL)
    if isinstance(error, ValueError):
        return False  # asyncpg's errors about arguments are ValueErrors, beside being InterfaceErrors
    return isinstance(error, OSError | DatabaseError | asyncpg.InterfaceError | asyncpg.InternalClientError)


def is_of_disk(error: BaseException | None) -> bool:
    """Whether *error* speaks of files or pages, which the item that met it may share with few others: it is
    tried without them before anybody concludes that Postgres takes nothing."""
    return isinstance(error, asyncpg.PostgresError) and (error.sqlstate or "").startswith(_DISK)


def said(error: Exception) -> str:
    """Returns the kind of *error*, with its words where it speaks of the database.

    Elsewhere it may quote values, and those hold people's numbers and texts: there it is told by its code. So
    are Postgres's details left out, always.
    """
    state = getattr(error, "sqlstate", None)
    # of a broken key only the details quote the row: its words are the constraint's name
    telling = is_unwell(error) or is_busy(error) or (state or "").startswith("23")
    words = str(error).partition("\n")[0] if telling else ""
    return ": ".join(filter(None, [type(error).__name__, words or (state and f"SQLSTATE {state}")]))


def is_of_content(error: BaseException | None) -> bool:
    """Whether *error* speaks of the values that a statement brought. Anything else is the database's trouble,
    and the same values may be taken later."""
    state = getattr(getattr(error, "orig", error), "sqlstate", None) or ""
    if isinstance(error, asyncpg.InterfaceError) and isinstance(error, ValueError):
        return True  # asyncpg could not write a value as its type
    return state.startswith(_OF_CONTENT) and state != _NO_PARTITION
