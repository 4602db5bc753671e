"""The sender's queue: claim, mark, settle. The states and their locks are in ``receiver/sql/outbox.sql``.

Two marks stand on a send. ``claimed`` is a lease: if its holder dies, the row is queued again. ``calling``
is committed just before the request leaves: if its holder dies, nobody knows, and it is never sent again by
itself. What a carrier answered is settled whenever it comes, also after the lease.
"""

from receiver.outbox.call import CALL_LEASE, CALL_WITH_FILES_LEASE, Claim, PendingCall
from receiver.outbox.queue import Outbox
from receiver.outbox.settlement import PATIENCE, Settlement, uncertain
from receiver.outbox.written import read, written

__all__ = [
    "CALL_LEASE",
    "CALL_WITH_FILES_LEASE",
    "PATIENCE",
    "Claim",
    "Outbox",
    "PendingCall",
    "Settlement",
    "read",
    "uncertain",
    "written",
]
