"""Exceptions that leave a route, and the problems that they are answered with.

Nothing that is answered tells of the inside.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import sqlalchemy.exc
import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from receiver import db
from receiver.problems import Code, Problem, unavailable

log = structlog.get_logger()

#: what comes and goes, and is no fault of anybody here; 0A000 is that of a statement from before a migration
_PASSING = ("08", "0A000", "25006", "40", "53", "55", "57")
#: what is raised where nobody answers, or there is no connection to be had
_AWAY = (
    db.DatabaseError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    sqlalchemy.exc.TimeoutError,
    OSError,
)

_CODE_OF_STATUS = {
    401: Code.UNAUTHORIZED,
    403: Code.FORBIDDEN,
    404: Code.NOT_FOUND,
    405: Code.NOT_FOUND,
    413: Code.CONTENT_TOO_LARGE,
    429: Code.TOO_MANY_REQUESTS,
}


def is_of_database(error: Exception) -> bool:
    """Returns whether *error* says that Postgres is away, full or restarting, and nothing about the
    statement."""
    if isinstance(error, sqlalchemy.exc.DBAPIError | asyncpg.PostgresError):
        sqlstate = getattr(getattr(error, "orig", error), "sqlstate", None) or ""
        invalidated = getattr(error, "connection_invalidated", False)
        return invalidated or not sqlstate or sqlstate.startswith(_PASSING)
    return isinstance(error, _AWAY)


def route(request: Request) -> str:
    """Returns the operation of *request* for logs: ``GET /v1/opt-outs/{our_number}/{contact}``. Never the
    address itself, which may be of any length and hold a phone number."""
    return f"{request.method} {request.scope.get('state', {}).get('route', 'of no operation')}"


def exception_handlers() -> dict[Any, Callable[[Request, Any], Awaitable[Response]]]:
    """Returns what Starlette calls for each class of exceptions."""
    return {
        Problem: _answer_problem,
        HTTPException: _answer_http_exception,
        sqlalchemy.exc.DBAPIError: _answer_database_error,
        asyncpg.PostgresError: _answer_database_error,
        **dict.fromkeys(_AWAY, _answer_unavailable),
        Exception: _answer_unexpected,
    }


async def _answer_problem(request: Request, problem: Problem) -> Response:
    return problem.response()


async def _answer_http_exception(request: Request, error: HTTPException) -> Response:
    if error.status_code == 404:
        detail = "There is nothing at this address."
    elif error.status_code == 405:
        detail = f"This address does not take {request.method}."
    else:
        detail = error.detail
    code = _CODE_OF_STATUS.get(error.status_code)
    if code is None:
        code = Code.INVALID_FIELD if error.status_code < 500 else Code.UNAVAILABLE
    return Problem(code, detail, status=error.status_code, headers=error.headers).response()


async def _answer_database_error(request: Request, error: Exception) -> Response:
    """Answers 503 for trouble of the database, which is worth another try, and 500 for a value that it
    refuses: that should have been refused before."""
    if is_of_database(error):
        return await _answer_unavailable(request, error)
    sqlstate = getattr(getattr(error, "orig", error), "sqlstate", None)
    log.error("database refused a statement", sqlstate=sqlstate, route=route(request), exc_info=error)
    answer = _answer_unexpected if db.is_of_content(error) else _answer_unavailable
    return await answer(request, error)


async def _answer_unavailable(request: Request, error: Exception) -> Response:
    log.warning("database unavailable", error=type(error).__name__, route=route(request))
    return unavailable("The database cannot be reached; ask again.").response()


async def _answer_unexpected(request: Request, error: Exception) -> Response:
    # this answer leaves outside of all middleware, so it carries what they would have added
    headers = request.scope.get("state", {}).get("headers")
    detail = "Something went wrong here; it is logged under this answer's X-Request-Id."
    return Problem(Code.UNAVAILABLE, detail, status=500, headers=headers).response()
