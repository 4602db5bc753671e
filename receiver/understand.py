"""What a request, or an answer to what we asked, says, whoever wants to know: the door or the sender when it
arrives, the spool when it drains, a replay later."""

import asyncio
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

import structlog

from models.events import Event, Request, Unreadable
from receiver import answered
from receiver.compression import decompressed
from receiver.config import ChannelSettings
from receiver.providers.base import Provider
from receiver.providers.shape import check_events

log = structlog.get_logger()

P = ParamSpec("P")
R = TypeVar("R")

#: bytes of a body that is read in the event loop; a compressed one may always hold more
LARGE = 32 * 1024

# one at a time: it shares the interpreter with the event loop, which has half of it then; and none of the
# loop's own threads, where look-ups of names and files would wait behind bodies
_apart = ThreadPoolExecutor(1, "large-bodies")


def understood(
    provider: Provider, channel: ChannelSettings, request: Request
) -> tuple[str, str | None, list[Event]]:
    """The state and reason under which the payload is kept, and the events that it tells. Never raises.

    How much a body may hold is looked at before it is read (`receiver.providers.shape`).
    """
    is_answer = request.method == answered.METHOD
    try:
        if is_answer:
            events = answered.events(provider, channel, request)
        else:
            events = provider.parse(decompressed(request, channel.max_body), channel)
            check_events(len(events))
    except Unreadable as error:
        return "quarantined", str(error), []
    except Exception as error:  # noqa: BLE001 - a fault of ours must not cost the carrier's words
        log.error("parser failed", channel=channel.name, error=place_of(error))
        return "quarantined", f"the parser failed: {type(error).__name__}", []
    return "applied", None, events


async def aside(request: Request, read: Callable[P, R], *given: P.args, **named: P.kwargs) -> R:
    """Returns what *read* makes of what is *given*, in a thread where the body of *request* is large."""
    if len(request.body) <= LARGE and "content-encoding" not in request.headers:
        return read(*given, **named)
    return await asyncio.get_running_loop().run_in_executor(_apart, lambda: read(*given, **named))


def place_of(error: Exception) -> str:
    """The kind and the place, not the words: they may quote a message."""
    (*_, place) = traceback.extract_tb(error.__traceback__)
    return f"{type(error).__name__} at {place.filename}:{place.lineno}"
