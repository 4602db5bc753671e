"""/v1/messages: send, list, read one with its timeline, look many up."""

import asyncio
from typing import Any

from starlette.responses import Response

from models.status import Status
from receiver.api.context import Sent
from receiver.api.operation import Ask, Header, Nothing, Operation, json
from receiver.api.reading import KEY_PATTERN, idempotency_key, path_id
from receiver.auth import Scope
from receiver.idempotency import undecided
from receiver.problems import Code, Problem, not_found
from receiver.read import lookup, shapes, timeline
from receiver.read.filters import EventPage, MessageFilters, Query, Timeline
from receiver.requests import LookupRequest, SendRequest, SettleRequest


async def send(ask: Ask[Query, SendRequest]) -> Response:
    sent = await ask.context.submit.send(
        ask.body,
        scope=ask.principal.name,
        idempotency_key=idempotency_key(ask.request),
        request_hash=ask.body_hash,
        channels=ask.channels,
        base=ask.nearby,
    )
    return await sent_messages(ask, sent)


async def sent_messages(ask: Ask[Any, Any], sent: Sent) -> Response:
    """The answer to a send that was taken. Raises ``Problem`` where it cannot be read any more."""
    try:
        data = await timeline.messages_of(ask.reader, sent.message_ids, channels=ask.channels)
    except (Exception, asyncio.CancelledError) as error:
        raise undecided(sent.message_ids, keyed=idempotency_key(ask.request) is not None) from error
    if sent.replayed and len(data) < len(sent.message_ids):
        raise Problem(
            Code.IDEMPOTENCY_CONFLICT,
            "This Idempotency-Key was used for messages that are gone, or that this API key may not see.",
        )
    headers = {"Idempotency-Replayed": "true"} if sent.replayed else None
    warned = [shapes.Warned(**one.model_dump()) for one in sent.warnings]
    return json(shapes.SentMessages(data=data, warnings=warned), 202, headers)


async def list_messages(ask: Ask[MessageFilters, Nothing]) -> Response:
    region = ask.context.settings.default_region
    return json(await timeline.messages(ask.reader, ask.query, region=region, channels=ask.channels))


async def get_message(ask: Ask[Timeline, Nothing]) -> Response:
    message = await timeline.message(
        ask.reader,
        path_id(ask.request),
        channels=ask.channels,
        superseded=ask.query.superseded,
    )
    if message is None:
        raise not_found()
    return json(message)


async def list_events(ask: Ask[EventPage, Nothing]) -> Response:
    events = await timeline.events(ask.reader, path_id(ask.request), ask.query, channels=ask.channels)
    if events is None:
        raise not_found()
    return json(events)


async def cancel(ask: Ask[Query, Nothing]) -> Response:
    message = await _message(ask)
    await ask.context.interventions.cancel(message.id, channel=message.channel, provider=message.provider)
    return json(await _message(ask))


async def redact(ask: Ask[Query, Nothing]) -> Response:
    message = await _message(ask)
    contact = message.to if message.direction == "outbound" else message.from_
    if message.redacted_at is None:
        store = ask.context.files.store
        for digest in await ask.context.interventions.redact(message.id, contact):
            await asyncio.to_thread(store.remove, digest)
    # also after a first try that did not come so far
    await ask.context.interventions.forgotten()
    return json(await _message(ask))


async def settle(ask: Ask[Query, SettleRequest]) -> Response:
    message = await _message(ask)
    await ask.context.interventions.decide(
        message.id, Status(ask.body.status), channel=message.channel, provider=message.provider
    )
    return json(await _message(ask))


async def _message(ask: Ask[Any, Any]) -> shapes.MessageWithTimeline:
    """The message of the path as it stands. Raises ``Problem`` (404)."""
    message = await timeline.message(ask.reader, path_id(ask.request), channels=ask.channels)
    if message is None:
        raise not_found()
    return message


async def look_up(ask: Ask[Query, LookupRequest]) -> Response:
    return json(await lookup.lookup(ask.reader, ask.body, channels=ask.channels))


IDEMPOTENCY = {
    "Idempotency-Key": Header(
        "The same key with the same body answers with the first request's messages for 7 days, and with "
        "`Idempotency-Replayed: true`.",
        KEY_PATTERN,
    )
}
OPERATIONS = (
    Operation(
        "POST",
        "/v1/messages",
        send,
        "Send a message to one or many recipients",
        Scope.SEND,
        Query,
        SendRequest,
        shapes.SentMessages,
        status=202,
        headers=IDEMPOTENCY,
        problems=(409,),
    ),
    Operation(
        "GET",
        "/v1/messages",
        list_messages,
        "List messages, newest first",
        Scope.READ,
        MessageFilters,
        Nothing,
        shapes.MessageList,
    ),
    Operation(
        "GET",
        "/v1/messages/{id}",
        get_message,
        "Read a message with its timeline",
        Scope.READ,
        Timeline,
        Nothing,
        shapes.MessageWithTimeline,
    ),
    Operation(
        "GET",
        "/v1/messages/{id}/events",
        list_events,
        "List a message's events in order of arrival",
        Scope.READ,
        EventPage,
        Nothing,
        shapes.EventList,
    ),
    Operation(
        "POST",
        "/v1/messages/{id}/cancel",
        cancel,
        "Stop a message that is not yet with its carrier",
        Scope.ADMIN,
        Query,
        Nothing,
        shapes.MessageWithTimeline,
        problems=(409,),
        undecided="Read the message: it is canceled, or goes on. Asking again is safe.",
    ),
    Operation(
        "POST",
        "/v1/messages/{id}/redact",
        redact,
        "Remove text, files, raw requests and the contact's number from a message",
        Scope.ADMIN,
        Query,
        Nothing,
        shapes.MessageWithTimeline,
        problems=(409,),
        undecided="Ask again: redacting twice is redacting once.",
    ),
    Operation(
        "POST",
        "/v1/messages/{id}/settle",
        settle,
        "Decide what became of an uncertain message",
        Scope.ADMIN,
        Query,
        SettleRequest,
        shapes.MessageWithTimeline,
        problems=(409,),
        undecided="Read the message. Asking again is safe: only what is uncertain is settled.",
    ),
    Operation(
        "POST",
        "/v1/messages/lookup",
        look_up,
        "Look up to 100 messages up by their names",
        Scope.READ,
        Query,
        LookupRequest,
        shapes.LookupAnswer,
    ),
)
