"""What a replay came to, or would come to: payloads, messages and events."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Change:
    """What became of a message; *before* is None where it began with the replay."""

    id: UUID
    channel: str
    before: str | None
    after: str
    written: int


@dataclass(frozen=True, slots=True)
class Filed:
    """A payload after its replay. One that was understood once and is not now is left as it was, with the
    *reason*."""

    id: UUID
    before: str
    after: str
    reason: str | None


@dataclass(slots=True)
class Summary:
    """What a replay, or a stretch of one, came to."""

    payloads: dict[UUID, Filed] = field(default_factory=dict)
    messages: dict[UUID, Change] = field(default_factory=dict)
    written: int = 0
    superseded: int = 0

    def add(self, other: "Summary") -> None:
        self.payloads |= other.payloads
        self.written += other.written
        self.superseded += other.superseded
        for change in other.messages.values():
            known = self.messages.get(change.id)
            self.messages[change.id] = (
                Change(change.id, change.channel, known.before, change.after, known.written + change.written)
                if known
                else change
            )

    @property
    def states(self) -> Counter[str]:
        """How many payloads are in which state now."""
        return Counter(filed.after for filed in self.payloads.values())

    @property
    def moves(self) -> Counter[tuple[str | None, str]]:
        """How many messages went from which status to which, those of which only events changed left out."""
        changes = self.messages.values()
        return Counter((one.before, one.after) for one in changes if one.before != one.after)


def summary(answer: Any) -> Summary:
    """From what ``postback.replay`` answers."""
    filed = [
        Filed(UUID(one["id"]), one["before"], one["after"], one["reason"]) for one in answer["payloads"] or ()
    ]
    changed = changes(answer["messages"])
    return Summary(
        payloads={one.id: one for one in filed},
        messages={one.id: one for one in changed},
        written=sum(one.written for one in changed),
        superseded=answer["superseded"],
    )


def changes(messages: Any) -> list[Change]:
    """From what ``postback.fold_again`` answers."""
    return [
        Change(UUID(one["id"]), one["channel"], one["before"], one["after"], one["written"])
        for one in messages
    ]
