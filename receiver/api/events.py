"""/v1/events: the feed, page by page or as server-sent events."""

import asyncio
from collections.abc import AsyncIterator

from sse_starlette import EventSourceResponse, ServerSentEvent
from sse_starlette.sse import AppStatus
from starlette.responses import Response

from receiver.api.operation import Ask, Header, Nothing, Operation, json
from receiver.api.reading import cursor
from receiver.auth import Scope
from receiver.problems import Problem
from receiver.protocol import TRANSPORT
from receiver.read import ids, shapes
from receiver.read.feed import Wanted
from receiver.read.filters import FeedFilters, FeedPage
from receiver.stream import Listener

#: seconds between two signs of life; proxies cut silent connections after thirty or more
PING = 15
#: seconds that a listener may take to read what he is sent
SLOWEST = 30
#: milliseconds after which a browser tries again
RETRY = 3000

# The library would end the streams of every later server in this process once one has been told to stop;
# ours end when their server does (`receiver.serve`).
AppStatus.enable_automatic_graceful_drain = False


async def list_feed(ask: Ask[FeedPage, Nothing]) -> Response:
    page, stream = ask.query, ask.context.stream
    found = await stream.read(page.after, _wanted(ask), page.limit, page.wait)
    if page.wait:
        await _authenticate(ask)  # the key may have ended meanwhile
    return json(
        shapes.Feed(
            data=list(found.events), next_cursor=ids.cursor_of_sequence(found.through), reset=found.reset
        )
    )


async def stream_feed(ask: Ask[FeedFilters, Nothing]) -> Response:
    last = ask.request.headers.get("last-event-id")
    place = ask.query.after if not last else cursor(last, ids.place_in_feed, "/Last-Event-ID")
    if place == ids.NOW:  # before the answer begins: what comes after that is told
        place = await ask.context.stream.newest()
    transport: asyncio.Transport = ask.request.scope["extensions"][TRANSPORT]["transport"]
    # a chunk is sent when the next one can be: of what is on its way nothing but the last event waits here
    transport.set_write_buffer_limits(high=0)
    return EventSourceResponse(
        _told(ask, place, Listener(transport.abort, lambda: _still_allowed(ask))),
        ping=PING,
        send_timeout=SLOWEST,
        sep="\n",
        headers={"Cache-Control": "no-cache"},
    )


async def _told(
    ask: Ask[FeedFilters, Nothing], place: int | None, listener: Listener
) -> AsyncIterator[ServerSentEvent | bytes]:
    # with the place, for who is cut off before the first event
    cursor = None if place is None else ids.cursor_of_sequence(place)
    yield ServerSentEvent(comment="listening", id=cursor, retry=RETRY)
    async for event in ask.context.stream.follow(place, _wanted(ask), listener):
        if event is None:
            # events may be missing before this one: the listener has to look at the messages themselves
            yield ServerSentEvent(event="reset", data="{}")
        else:
            yield ServerSentEvent(data=event.line, id=event.cursor)
            yield b""  # nothing, once the event has left


async def _still_allowed(ask: Ask[FeedFilters, Nothing]) -> bool:
    """A key that was revoked meanwhile hears nothing more."""
    try:
        await _authenticate(ask)
    except Problem:
        return False
    return True


async def _authenticate(ask: Ask[FeedFilters, Nothing] | Ask[FeedPage, Nothing]) -> None:
    """Raises ``Problem`` (401) where the key of *ask* is none any more."""
    auth = ask.context.auth
    await auth.authenticate(auth.presented(ask.request.headers.get("authorization")))


def _wanted(ask: Ask[FeedFilters, Nothing] | Ask[FeedPage, Nothing]) -> Wanted:
    return Wanted(ask.query.type, ask.query.channel, ask.channels)


OPERATIONS = (
    Operation(
        "GET",
        "/v1/events",
        list_feed,
        "Read the feed, oldest first",
        Scope.READ,
        FeedPage,
        Nothing,
        shapes.Feed,
    ),
    Operation(
        "GET",
        "/v1/events/stream",
        stream_feed,
        "The feed as server-sent events",
        Scope.READ,
        FeedFilters,
        Nothing,
        shapes.Event,
        headers={"Last-Event-ID": Header("The cursor after which to go on.", "^[A-Za-z0-9_-]+$")},
        media_type="text/event-stream",
    ),
)
