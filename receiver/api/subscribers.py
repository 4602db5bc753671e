"""/v1/subscribers and /v1/deliveries: the apps that events are posted to."""

from datetime import timedelta
from typing import Any

from starlette.responses import Response

from receiver.api.operation import Ask, Nothing, Operation, json
from receiver.api.reading import cursor, path_id
from receiver.auth import Scope
from receiver.problems import Code, invalid, not_found
from receiver.read import ids, shapes, subscribers
from receiver.read.filters import DeliveryFilters, Query, SubscriberPage
from receiver.requests import ReplayFrom, Rotation, SubscriberChange, SubscriberRequest
from receiver.subscribers import check_channels, check_url


async def create_subscriber(ask: Ask[Query, SubscriberRequest]) -> Response:
    _check(ask, ask.body.url, ask.body.channels)
    created, secret = await ask.context.subscribers.create(
        ask.body.url, ask.body.types, ask.body.channels, ask.channels
    )
    found = await subscribers.subscriber(ask.context.engine, created, channels=ask.channels)
    return json(_with_secret(found, secret), 201, {"Location": f"/v1/subscribers/{created}"})


async def list_subscribers(ask: Ask[SubscriberPage, Nothing]) -> Response:
    return json(await subscribers.subscribers(ask.context.engine, ask.query, channels=ask.channels))


async def get_subscriber(ask: Ask[Query, Nothing]) -> Response:
    return json(await _subscriber(ask))


async def change_subscriber(ask: Ask[Query, SubscriberChange]) -> Response:
    _check(ask, ask.body.url, ask.body.channels)
    given = ask.body.model_dump(include=ask.body.model_fields_set)
    # null is a wish for all types and channels, and for an address or a state it is none
    values = {
        name: value for name, value in given.items() if value is not None or name in ("types", "channels")
    }
    if not await ask.context.subscribers.change(path_id(ask.request), values, ask.channels):
        raise not_found()
    return json(await _subscriber(ask))


async def delete_subscriber(ask: Ask[Query, Nothing]) -> Response:
    """Answers with what was deleted."""
    found = await _subscriber(ask)
    if not await ask.context.subscribers.delete(found.id, ask.channels):
        raise not_found()
    return json(found)


async def rotate_secret(ask: Ask[Query, Rotation]) -> Response:
    grace = timedelta(seconds=ask.body.grace_seconds)
    secret = await ask.context.subscribers.rotate(path_id(ask.request), grace, ask.channels)
    if secret is None:
        raise not_found()
    return json(_with_secret(await _subscriber(ask), secret))


async def replay_to_subscriber(ask: Ask[Query, ReplayFrom]) -> Response:
    after = cursor(ask.body.after, ids.place_in_feed, "/after")
    if after == ids.NOW:
        raise invalid("/after", "is no cursor: nothing follows now", Code.INVALID_CURSOR)
    if not await ask.context.subscribers.replay(path_id(ask.request), after, ask.channels):
        raise not_found()
    return json(await _subscriber(ask), 202)


async def list_deliveries(ask: Ask[DeliveryFilters, Nothing]) -> Response:
    found = await subscribers.deliveries(
        ask.context.engine, path_id(ask.request), ask.query, channels=ask.channels
    )
    if found is None:
        raise not_found()
    return json(found)


async def retry_delivery(ask: Ask[Query, Nothing]) -> Response:
    delivery_id = path_id(ask.request)
    await ask.context.subscribers.retry(delivery_id, ask.channels)
    found = await subscribers.delivery(ask.context.engine, delivery_id, channels=ask.channels)
    if found is None:
        raise not_found()
    return json(found, 202)


def _check(ask: Ask[Any, Any], url: str | None, channels: list[str] | None) -> None:
    settings = ask.context.settings
    if url is not None:
        check_url(url, settings.private_networks)
    check_channels(channels, settings.channels, ask.channels)


async def _subscriber(ask: Ask[Any, Any]) -> shapes.Subscriber:
    found = await subscribers.subscriber(ask.context.engine, path_id(ask.request), channels=ask.channels)
    if found is None:
        raise not_found()
    return found


def _with_secret(found: shapes.Subscriber | None, secret: str) -> shapes.SubscriberWithSecret:
    if found is None:
        raise not_found()
    return shapes.SubscriberWithSecret.model_validate(dict(found) | {"secret": secret})


_ALL, _ONE = "/v1/subscribers", "/v1/subscribers/{id}"
OPERATIONS = (
    Operation(
        "POST",
        _ALL,
        create_subscriber,
        "Have events posted to an address; only this answer and a rotation show the secret",
        Scope.ADMIN,
        Query,
        SubscriberRequest,
        shapes.SubscriberWithSecret,
        status=201,
        undecided="It may be there, with a secret that nobody has seen: list the subscribers, and delete it.",
    ),
    Operation(
        "GET",
        _ALL,
        list_subscribers,
        "List subscribers, newest first",
        Scope.ADMIN,
        SubscriberPage,
        Nothing,
        shapes.SubscriberList,
    ),
    Operation(
        "GET", _ONE, get_subscriber, "Read a subscriber", Scope.ADMIN, Query, Nothing, shapes.Subscriber
    ),
    Operation(
        "PATCH",
        _ONE,
        change_subscriber,
        "Change a subscriber; an active one goes on where it stood",
        Scope.ADMIN,
        Query,
        SubscriberChange,
        shapes.Subscriber,
        undecided="Ask again: the same again changes nothing.",
    ),
    Operation(
        "DELETE",
        _ONE,
        delete_subscriber,
        "Delete a subscriber, with what still waits for it",
        Scope.ADMIN,
        Query,
        Nothing,
        shapes.Subscriber,
        undecided="Ask again: 404 says that it is gone.",
    ),
    Operation(
        "POST",
        f"{_ONE}/rotate",
        rotate_secret,
        "Make a new secret; the one before signs as well for a day, or as long as asked for",
        Scope.ADMIN,
        Query,
        Rotation,
        shapes.SubscriberWithSecret,
        optional=True,
        undecided="Ask again: that makes another secret, which its answer shows.",
    ),
    Operation(
        "POST",
        f"{_ONE}/replay",
        replay_to_subscriber,
        "Send again what follows a cursor, up to where the subscriber stands",
        Scope.ADMIN,
        Query,
        ReplayFrom,
        shapes.Subscriber,
        status=202,
        undecided="Ask again: what was sent meanwhile is sent once more.",
    ),
    Operation(
        "GET",
        f"{_ONE}/deliveries",
        list_deliveries,
        "List what became of events on their way to a subscriber, newest first",
        Scope.ADMIN,
        DeliveryFilters,
        Nothing,
        shapes.DeliveryList,
    ),
    Operation(
        "POST",
        "/v1/deliveries/{id}/retry",
        retry_delivery,
        "Try a delivery again soon",
        Scope.ADMIN,
        Query,
        Nothing,
        shapes.Delivery,
        status=202,
        undecided="Ask again: the delivery is tried soon, or was.",
    ),
)
