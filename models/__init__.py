"""The nouns: tables and vocabulary. Imports nothing else of ours."""

from models.apikey import ApiKey, SecretKeyCheck
from models.conversation import Conversation
from models.delivery import Delivery
from models.event import Event, FeedGap, FeedHead
from models.media import File, Media
from models.message import Adopted, Attention, Message, MessageBody
from models.optout import OptOut, OptOutEntry
from models.payload import Payload
from models.redaction import ContentLease, Redaction
from models.reference import Reference
from models.submission import AwaitedReport, Idempotency, Outbox, Rate, Submission
from models.subscriber import Forwarder, Subscriber
from models.template import Template

__all__ = [
    "Adopted",
    "ApiKey",
    "Attention",
    "AwaitedReport",
    "ContentLease",
    "Conversation",
    "Delivery",
    "Event",
    "FeedGap",
    "FeedHead",
    "File",
    "Forwarder",
    "Idempotency",
    "Media",
    "Message",
    "MessageBody",
    "OptOut",
    "OptOutEntry",
    "Outbox",
    "Payload",
    "Rate",
    "Redaction",
    "Reference",
    "SecretKeyCheck",
    "Submission",
    "Subscriber",
    "Template",
]
