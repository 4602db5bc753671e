"""The messages that Cellcast has sent: what became of them, and which one a reply answers."""

from collections import OrderedDict
from dataclasses import dataclass

from simulator.cellcast_rules import envelope, failure
from simulator.practice import Answer

CAPACITY = 10_000


@dataclass(frozen=True, slots=True)
class Sent:
    """A message that can be asked for; *status* is what became of it."""

    id: str
    to: str
    body: str
    date: str
    custom_string: str
    status: str
    is_sms: bool


class SentMessages:
    """By account; the oldest are forgotten."""

    def __init__(self) -> None:
        self._by_id: OrderedDict[tuple[str, str], Sent] = OrderedDict()
        self._last_to: dict[tuple[str, str], Sent] = {}

    def keep(self, account: str, sent: Sent) -> None:
        self._by_id[account, sent.id] = self._last_to[account, sent.to] = sent
        if len(self._by_id) > CAPACITY:
            self._by_id.popitem(last=False)

    def last_to(self, account: str, number: str) -> Sent | None:
        return self._last_to.get((account, number))

    def told(self, account: str, message_id: str) -> Answer:
        """What get-sms says. There is no such call for MMS."""
        sent = self._by_id.get((account, message_id))
        if sent is None or not sent.is_sms:
            return failure("NOT_FOUND")
        found = {
            "to": sent.to,
            "body": sent.body,
            "sent_time": sent.date,
            "message_id": sent.id,
            "status": sent.status,
            "subaccount_id": "",
        }
        return envelope([found], "Record founded")
