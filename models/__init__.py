"""The nouns: tables and vocabulary. Imports nothing else of ours."""

from models.apikey import ApiKey, SecretKeyCheck
from models.conversation import Conversation
from models.event import Event, FeedHead
from models.media import File, Media
from models.message import Adopted, Attention, Message, MessageBody
from models.payload import Payload
from models.reference import Reference
from models.submission import AwaitedReport, Idempotency, Outbox, Rate, Submission
from models.template import Template

__all__ = [
    "Adopted",
    "ApiKey",
    "Attention",
    "AwaitedReport",
    "Conversation",
    "Event",
    "FeedHead",
    "File",
    "Idempotency",
    "Media",
    "Message",
    "MessageBody",
    "Outbox",
    "Payload",
    "Rate",
    "Reference",
    "SecretKeyCheck",
    "Submission",
    "Template",
]
