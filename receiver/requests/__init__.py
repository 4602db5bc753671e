"""What may be asked for: the bodies of the API's POST routes. Unknown fields are refused.

Here is the shape only; numbers, carriers' limits and the choice of a channel are `receiver.submit`'s.
"""

from receiver.requests.conversations import ReadRequest
from receiver.requests.media import MediaSource
from receiver.requests.messages import LookupRequest, SettleRequest
from receiver.requests.payloads import ReplayRequest
from receiver.requests.sends import Reply, ReplyRequest, SendRequest, Sent, TemplateRequest
from receiver.requests.subscribers import ReplayFrom, Rotation, SubscriberChange, SubscriberRequest

__all__ = [
    "LookupRequest",
    "MediaSource",
    "ReadRequest",
    "ReplayFrom",
    "ReplayRequest",
    "Reply",
    "ReplyRequest",
    "Rotation",
    "SendRequest",
    "Sent",
    "SettleRequest",
    "SubscriberChange",
    "SubscriberRequest",
    "TemplateRequest",
]
