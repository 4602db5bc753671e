"""The one way out: calls to carriers, posts to apps, and files fetched from addresses that somebody gave us.

Each has time-outs, a cap on its answer, and failures that say what they mean for the request. What goes to a
given address goes only where `receiver.addresses` lets it, on every hop.

httpx is imported in this room and nowhere else in the product, so that its continuation can take its place
(docs/decisions/0004).
"""

from receiver.http.calls import Client
from receiver.http.failures import AnswerLost, Gone, Hopeless, NotSent, Unfetchable
from receiver.http.fetches import FETCH_DEADLINE, fetch
from receiver.http.looks import look
from receiver.http.posts import Posted, Poster

__all__ = [
    "FETCH_DEADLINE",
    "AnswerLost",
    "Client",
    "Gone",
    "Hopeless",
    "NotSent",
    "Posted",
    "Poster",
    "Unfetchable",
    "fetch",
    "look",
]
