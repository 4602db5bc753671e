"""/v1/opt-outs: who is not to be written to. A key that is bound to channels sees nothing of it, because an
opt-out belongs to a number and not to a channel."""

from datetime import UTC, datetime
from typing import Any

from starlette.responses import Response

from models.optout import EVERY_NUMBER
from receiver import phone
from receiver.api.operation import Ask, Nothing, Operation, json
from receiver.auth import Scope
from receiver.problems import Code, Problem, not_found
from receiver.read import opt_outs, shapes
from receiver.read.filters import OptOutFilters, Query, written_in

LONGEST_NUMBER = 64


async def list_opt_outs(ask: Ask[OptOutFilters, Nothing]) -> Response:
    if ask.channels is not None:
        return json(shapes.OptOutList(data=[], next_cursor=None))
    region = ask.context.settings.default_region
    return json(await opt_outs.opt_outs(ask.context.engine, ask.query, ask.context.opt_outs, region=region))


async def get_opt_out(ask: Ask[Query, Nothing]) -> Response:
    return json(await _pair(ask, *_numbers(ask)))


async def opt_out(ask: Ask[Query, Nothing]) -> Response:
    our_number, contact = _numbers(ask)
    if our_number != EVERY_NUMBER and not our_number.startswith("channel:"):
        _check(ask, our_number)
    _check(ask, contact)
    await _decide(ask, our_number, contact, opts_out=True)
    return json(await _pair(ask, our_number, contact))


async def opt_in(ask: Ask[Query, Nothing]) -> Response:
    our_number, contact = _numbers(ask)
    await _pair(ask, our_number, contact)
    await _decide(ask, our_number, contact, opts_out=False)
    return json(await _pair(ask, our_number, contact))


def _check(ask: Ask[Any, Any], number: str) -> None:
    """What is no number names nothing (404); taken as it stands, a slip would leave the person on no list."""
    try:
        phone.sender(number, ask.context.settings.default_region)
    except phone.InvalidNumber as error:
        raise Problem(Code.INVALID_NUMBER, f"{number!r} {error}", status=404) from None


def _numbers(ask: Ask[Any, Any]) -> tuple[str, str]:
    """Our number and the contact of the path, as messages hold them. Raises ``Problem``."""
    if ask.channels is not None:
        raise not_found()
    given = [ask.request.path_params[name] for name in ("our_number", "contact")]
    if any("\0" in number or len(number) > LONGEST_NUMBER for number in given):
        raise not_found()
    our_number, contact = (written_in(number, ask.context.settings.default_region) for number in given)
    return our_number, contact


async def _pair(ask: Ask[Any, Any], our_number: str, contact: str) -> shapes.OptOutWithLedger:
    found = await opt_outs.opt_out(ask.context.engine, our_number, contact, ask.context.opt_outs)
    if found is None:
        raise not_found()
    return found


async def _decide(ask: Ask[Any, Any], our_number: str, contact: str, *, opts_out: bool) -> None:
    said = ask.context.opt_outs.decided(
        our_number, contact, datetime.now(UTC), opts_out=opts_out, by=ask.principal.name
    )
    await ask.context.interventions.opt(said)


_PAIR = "/v1/opt-outs/{our_number}/{contact}"
OPERATIONS = (
    Operation(
        "GET",
        "/v1/opt-outs",
        list_opt_outs,
        "List who is opted out now, newest first",
        Scope.READ,
        OptOutFilters,
        Nothing,
        shapes.OptOutList,
    ),
    Operation(
        "GET",
        _PAIR,
        get_opt_out,
        "Read whether a number of ours may write to a contact, and the ledger",
        Scope.READ,
        Query,
        Nothing,
        shapes.OptOutWithLedger,
    ),
    Operation(
        "PUT",
        _PAIR,
        opt_out,
        "Opt a contact out of a number of ours, or of all (`*`)",
        Scope.ADMIN,
        Query,
        Nothing,
        shapes.OptOutWithLedger,
        undecided="Ask again: the same again changes nothing.",
    ),
    Operation(
        "DELETE",
        _PAIR,
        opt_in,
        "Opt a contact in again",
        Scope.ADMIN,
        Query,
        Nothing,
        shapes.OptOutWithLedger,
        undecided="Ask again: the same again changes nothing.",
    ),
)
