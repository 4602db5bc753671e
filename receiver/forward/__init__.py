"""Events to subscribers: the feed read once for all, signed, posted, retried, in order per conversation.

`process` runs it, `line` is one subscriber's queue, `letters` what is posted, `journal` what is written down.
"""

from receiver.forward.process import run
from receiver.forward.terms import Terms

__all__ = ["Terms", "run"]
