"""Events to subscribers: the feed read once for all, signed, posted, retried, in order per conversation.

`process` runs it, `line` is one subscriber's way through the feed, `letters` what is posted, `attempt` one
post, `books` what is to be written down, `journal` writes it.
"""

from receiver.forward.process import run
from receiver.forward.terms import Terms

__all__ = ["Terms", "run"]
