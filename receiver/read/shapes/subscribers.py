"""Subscribers, and what is posted to them."""

from typing import Literal
from uuid import UUID

from pydantic import ConfigDict, Field

from receiver.moments import Moment
from receiver.read import examples
from receiver.read.shapes.base import NextCursor, Shape
from receiver.read.shapes.events import Event
from receiver.read.shapes.messages import Message


class Subscriber(Shape):
    """An app's address that events are posted to, and its place in the feed."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.SUBSCRIBER]})

    id: UUID
    url: str
    types: list[str] | None = Field(description="Null for all.")
    channels: list[str] | None = Field(description="Null for all.")
    state: Literal["active", "disabled"]
    disabled_reason: str | None
    lag: int = Field(description="Numbers of the feed between its newest event and this subscriber's place.")
    created_at: Moment


class SubscriberWithSecret(Subscriber):
    """The only time that the secret is shown."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{**examples.SUBSCRIBER, "secret": "whsec_" + "A" * 43 + "="}]}
    )

    secret: str


class SubscriberList(Shape):
    data: list[Subscriber]
    next_cursor: str | None = NextCursor


class NotificationData(Shape):
    event: Event
    message: Message | None = Field(description="As of the event; null where the event is of no message.")


class Notification(Shape):
    """What is posted to a subscriber."""

    type: str
    timestamp: Moment = Field(description="When the event came.")
    data: NotificationData


class Attempt(Shape):
    at: Moment
    status: int | None = Field(description="Null where no whole answer came.")
    ms: int
    answer: str | None = Field(description="The first 2 KiB of it.")
    error: str | None


class Delivery(Shape):
    """What became of an event on its way to a subscriber."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.DELIVERY]})

    id: UUID
    event_id: UUID
    subscriber_id: UUID
    state: Literal["waiting", "parked", "delivered", "dead"]
    late: bool = Field(description="Its conversation went on before it was delivered.")
    attempts: list[Attempt]
    next_at: Moment | None


class DeliveryList(Shape):
    data: list[Delivery]
    next_cursor: str | None = NextCursor
