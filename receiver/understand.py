"""What a request, or an answer to what we asked, says, whoever wants to know: the door or the sender when it
arrives, the spool when it drains, a replay later."""

import traceback

import structlog

from models.events import Event, Request, Unreadable
from receiver import answered
from receiver.compression import decompressed
from receiver.config import ChannelSettings
from receiver.providers.base import Provider

log = structlog.get_logger()

#: reports and inbound messages in one request of a carrier's; more than these are kept unread, because a
#: transaction that cannot be done in its time would be refused again and again
MOST_EVENTS = 1000


def understood(
    provider: Provider, channel: ChannelSettings, request: Request
) -> tuple[str, str | None, list[Event]]:
    """The state and reason under which the payload is kept, and the events that it tells. Never raises."""
    is_answer = request.method == answered.METHOD
    try:
        if is_answer:
            events = answered.events(provider, channel, request)
        else:
            events = provider.parse(decompressed(request, channel.max_body), channel)
    except Unreadable as error:
        return "quarantined", str(error), []
    except Exception as error:  # noqa: BLE001 - a fault of ours must not cost the carrier's words
        log.error("parser failed", channel=channel.name, error=place_of(error))
        return "quarantined", f"the parser failed: {type(error).__name__}", []
    if len(events) > MOST_EVENTS and not is_answer:  # whose size is bounded where we ask
        return "quarantined", f"the body tells {len(events)} events; at most {MOST_EVENTS} are taken", []
    return "applied", None, events


def place_of(error: Exception) -> str:
    """The kind and the place, not the words: they may quote a message."""
    (*_, place) = traceback.extract_tb(error.__traceback__)
    return f"{type(error).__name__} at {place.filename}:{place.lineno}"
