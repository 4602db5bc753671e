"""Failures of connecting to Postgres, and the end of a connection, as one sentence for people.

Every failure of connecting becomes a `DatabaseError` here, so nobody else lists exceptions of drivers.
"""

import ssl

import asyncpg

#: classes of SQLSTATE by which a server says that the settings are wrong: credentials, database, parameters,
#: rights. All others may be different in a moment.
_WRONG_SETTINGS = ("0A", "22", "28", "3D", "3F", "42")
_PARAMETER = "unsupported startup parameter"
_LEAVE_OUT = "leave it out of database_url, or name it in the pooler's ignore_startup_parameters"
#: what PgBouncer says with the code of a broken protocol, as it says everything
_POOLER_REFUSALS = (
    _PARAMETER,
    "no such database",
    "no such user",
    "does not exist",
    "no pg_hba.conf entry",
    "permission denied",
    "auth",
    "TLS required",
)
#: classes of SQLSTATE that a connection ends with
LOST = ("08", "57P")


class DatabaseError(Exception):
    """The database cannot be used; the message says why and what to do, in one sentence."""


class Unreachable(DatabaseError):
    """Nobody answers at the database's address, or not yet: it may be there again in a moment."""


class Full(Unreachable):
    """The database answers, and has no room for another connection."""


def of_connecting(error: Exception) -> DatabaseError:
    """Returns the one sentence for *error*, which ended an attempt to connect.

    ``Unreachable`` is for whatever may be over in a moment, unknown errors included: a process starts on its
    spool then, and tries again. Nothing of the URL but what the server itself names stands in the message.
    """
    if isinstance(error, DatabaseError):
        return error
    if isinstance(error, ssl.SSLCertVerificationError):
        return DatabaseError(
            f"The database's certificate is not accepted: {error.verify_message or error.reason}; check "
            "sslrootcert and the host's name in database_url."
        )
    if "rejected SSL upgrade" in str(error):
        return DatabaseError(
            "The database offers no TLS, and sslmode demands it; switch ssl on there, or change sslmode."
        )
    if isinstance(error, asyncpg.PostgresError):
        return _refused(error)
    if isinstance(error, asyncpg.TargetServerAttributeNotMatched):
        return Unreachable("The database's host is not one that target_session_attrs admits; wait for it.")
    if isinstance(error, ValueError) and not isinstance(error, OSError):
        return DatabaseError(f"The database's URL cannot be used: {error}; check database_url.")
    said = ": ".join(filter(None, [type(error).__name__, str(error)]))
    return Unreachable(
        f"The database cannot be reached: {said}; check database_url and that the server runs."
    )


def _refused(error: asyncpg.PostgresError) -> DatabaseError:
    said, state = str(error).partition("\n")[0], error.sqlstate or ""
    if state.startswith("53"):
        return Full(f"The database takes no connections now: {said}; wait for it, or raise its limits.")
    if state.startswith(_WRONG_SETTINGS) or (
        state.startswith("08P01") and any(refusal in said for refusal in _POOLER_REFUSALS)
    ):
        todo = _LEAVE_OUT if _PARAMETER in said else "check database_url"
        return DatabaseError(f"The database refuses the connection: {said}; {todo}.")
    return Unreachable(f"The database takes no connections now: {said}; wait for it.")


def is_loss(error: BaseException) -> bool:
    """Whether the server ended the connection with *error*: nobody knows how far the statement had come."""
    return isinstance(error, asyncpg.PostgresError) and (error.sqlstate or "").startswith(LOST)


def of_losing(error: BaseException | None) -> Unreachable | None:
    """Returns the one sentence for *error*, where it says that the database went away from a statement."""
    while error is not None:
        if is_loss(error) or (
            isinstance(error, asyncpg.InterfaceError) and not isinstance(error, ValueError)
        ):
            said = str(error).partition("\n")[0]
            return Unreachable(f"The database went away: {said}; once it is there again, run this again.")
        error = error.__cause__
    return None
