"""The answers of the API, field for field, a file per noun; keys are always there, null where nobody told us.

These models make the JSON and the OpenAPI document, so neither can say what the other does not.
"""

from receiver.read.shapes.base import CanReply, Shape
from receiver.read.shapes.conversations import Conversation, ConversationList, LastMessage
from receiver.read.shapes.events import Event, EventList, Feed
from receiver.read.shapes.health import Health
from receiver.read.shapes.media import File, Media
from receiver.read.shapes.messages import (
    Error,
    LookupAnswer,
    Message,
    MessageList,
    MessageWithTimeline,
    Missing,
    SentMessages,
    Warned,
)
from receiver.read.shapes.opt_outs import LedgerEntry, OptOut, OptOutList, OptOutWithLedger
from receiver.read.shapes.payloads import Payload, PayloadList, ReplayAnswer, ReplayedMessage, ReplayedPayload
from receiver.read.shapes.subscribers import (
    Attempt,
    Delivery,
    DeliveryList,
    Notification,
    NotificationData,
    Subscriber,
    SubscriberList,
    SubscriberWithSecret,
)
from receiver.read.shapes.templates import Template, TemplateList

__all__ = [
    "Attempt",
    "CanReply",
    "Conversation",
    "ConversationList",
    "Delivery",
    "DeliveryList",
    "Error",
    "Event",
    "EventList",
    "Feed",
    "File",
    "Health",
    "LastMessage",
    "LedgerEntry",
    "LookupAnswer",
    "Media",
    "Message",
    "MessageList",
    "MessageWithTimeline",
    "Missing",
    "Notification",
    "NotificationData",
    "OptOut",
    "OptOutList",
    "OptOutWithLedger",
    "Payload",
    "PayloadList",
    "ReplayAnswer",
    "ReplayedMessage",
    "ReplayedPayload",
    "SentMessages",
    "Shape",
    "Subscriber",
    "SubscriberList",
    "SubscriberWithSecret",
    "Template",
    "TemplateList",
    "Warned",
]
