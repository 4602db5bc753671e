"""What can be ordered to go wrong, for whom and how often. The words are the same for every carrier."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationInfo, field_validator

MAX_ORDERS = 10_000

#: the answers that every carrier has in its own words
ANSWERS = ("closed", "refused", "throttled")

#: the recipient of orders that name none
ANYONE = ""


class Faults(BaseModel):
    """Everything that goes wrong with one request. The defaults are a carrier on a good day.

    *slow* and *late* are real seconds: they are held against the caller's own time-outs.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    #: ``closed``, ``refused``, ``throttled``, one of the carrier's error codes, or an HTTP status
    answer: str | int | None = None
    #: whether the message was taken all the same; a closed connection takes it, every other answer does not
    accepted: bool | None = None
    #: seconds before the answer is written
    slow: FiniteFloat = Field(default=0, ge=0, le=600)
    #: every report is delivered before the answer is written
    early: bool = False
    #: which reports come: a word of the carrier's own table
    report: str = "delivered"
    #: how often each report comes
    duplicate: int = Field(default=1, ge=1, le=100)
    #: the last report first
    reordered: bool = False
    #: seconds that the last report is held back
    late: FiniteFloat = Field(default=0, ge=0, le=86_400)
    #: whether reports echo the client reference
    reference: bool = True
    #: Sinch MMS: ``trackingid`` instead of ``tracking-id``, as the platform's sister documents spell it
    trackingid: bool = False
    #: Sinch MMS: the styles that its pages show
    timestamp: Literal["utc", "offset", "fraction", "none"] = "utc"

    @field_validator("answer", mode="before")
    @classmethod
    def _is_an_answer(cls, answer: Any) -> Any:
        # which codes there are is the carrier's matter: `Control` asks the carriers that the order is for
        word = isinstance(answer, str) and re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{2,63}", answer)
        status = type(answer) is int and 400 <= answer <= 599
        if answer is not None and not word and not status:
            raise ValueError(
                "must be closed, refused, throttled, an error code like E114, or an HTTP status (400 to 599)"
            )
        return answer

    @field_validator("late")
    @classmethod
    def _is_not_early(cls, late: float, info: ValidationInfo) -> float:
        if late and info.data.get("early"):
            raise ValueError("a report cannot be early and late")
        return late

    @property
    def takes_message(self) -> bool:
        """Whether the carrier has the message, whatever its answer says."""
        return self.answer in (None, "closed") if self.accepted is None else self.accepted

    def overlaid(self, newer: "Faults") -> "Faults":
        """These faults with everything that *newer* names in its place."""
        named = newer.model_fields_set & Faults.model_fields.keys()
        return self.model_copy(update={field: getattr(newer, field) for field in named})


class Order(Faults):
    """Faults for the requests of one account (or all), to some numbers (or any), the *next* few (or all)."""

    account: str | None = None
    next: int | None = Field(default=None, ge=1)
    to: list[str] | None = None

    @field_validator("to", mode="before")
    @classmethod
    def _are_numbers(cls, to: Any) -> Any:
        numbers = [to] if isinstance(to, str) else to
        if not isinstance(numbers, list) or not all(
            isinstance(number, str) and digits(number) for number in numbers
        ):
            raise ValueError("must be a phone number or a list of phone numbers")
        return list(dict.fromkeys(digits(number) for number in numbers))


NONE = Faults()

#: the numbers for people at a prompt: +1 500 555 01NN
MAGIC = {
    f"150055501{number:02}": faults
    for number, faults in {
        0: NONE,
        1: Faults(early=True),
        2: Faults(duplicate=3),
        3: Faults(reordered=True),
        4: Faults(late=5),
        5: Faults(report="lost"),
        6: Faults(report="unknown"),
        7: Faults(slow=5),
        8: Faults(answer="closed"),
        9: Faults(answer="refused"),
        10: Faults(answer="throttled"),
        11: Faults(answer=500),
        12: Faults(answer=502),
        13: Faults(answer=503),
        14: Faults(answer=502, accepted=True),
        15: Faults(report="expired"),
        16: Faults(report="failed"),
        17: Faults(report="rejected"),
        18: Faults(report="rejected_then_sms"),
        19: Faults(report="delivered_as_sms"),
        20: Faults(report="fallback_delivered"),
        21: Faults(report="delivered_but_expired"),
        22: Faults(reference=False),
        23: Faults(trackingid=True),
        24: Faults(timestamp="offset"),
        25: Faults(timestamp="fraction"),
        26: Faults(timestamp="none"),
        27: Faults(report="fallback_failed"),
        28: Faults(report="transcoded"),
    }.items()
}


def of_the_answer(faults: Mapping[str, Faults]) -> Faults:
    """What goes wrong with the one answer to several: a refusal only where all of them are refused."""
    first = next(iter(faults.values()))
    if first.answer == "refused" and any(own.answer != "refused" for own in faults.values()):
        return first.model_copy(update={"answer": None})  # the others are taken all the same
    return first


def digits(number: str) -> str:
    return re.sub(r"\D", "", number)


@dataclass(slots=True)
class Standing:
    """An order that still holds. *left* is None while it holds until it is cleared."""

    id: int
    order: Order
    left: int | None

    def shown(self) -> dict[str, Any]:
        return {"id": self.id, **self.order.model_dump(exclude_unset=True), "left": self.left}


class Orders:
    """The standing orders, shelved by recipient so that thousands of them cost a send nothing."""

    def __init__(self) -> None:
        self._ids = count(1)
        self._all: dict[int, Standing] = {}
        self._shelves: dict[str, dict[int, Standing]] = {}

    def add(self, order: Order) -> Standing:
        """Raises ``ValueError`` when too many are standing."""
        if len(self._all) >= MAX_ORDERS:
            raise ValueError(f"{MAX_ORDERS} orders are standing; clear them first")
        standing = Standing(next(self._ids), order, order.next)
        self._all[standing.id] = standing
        for number in order.to or [ANYONE]:
            self._shelves.setdefault(number, {})[standing.id] = standing
        return standing

    def take(self, account: str, recipient: str = ANYONE) -> Faults:
        """What goes wrong with this request: the magic number's faults under all orders, newest on top."""
        return self.take_each(account, [recipient])[0]

    def take_each(self, account: str, recipients: Sequence[str]) -> list[Faults]:
        """The same for a request to several; an order is counted once, however many of them it is for."""
        taken, counted = [], {}
        for recipient in recipients:
            faults = MAGIC.get(recipient, NONE)
            standing = self._shelves.get(ANYONE, {}) | self._shelves.get(recipient, {}) if self._all else {}
            for number, match in sorted(standing.items()):
                if match.order.account in (None, account):
                    faults = faults.overlaid(match.order)
                    counted[number] = match
            taken.append(faults)
        for match in counted.values():
            self._count(match)
        return taken

    def by_number(self, account: str, numbers: Sequence[str]) -> dict[str, Faults]:
        """The same, by number as its carrier writes it."""
        return dict(zip(numbers, self.take_each(account, list(map(digits, numbers))), strict=True))

    def clear(self) -> None:
        self._all.clear()
        self._shelves.clear()

    def shown(self) -> list[dict[str, Any]]:
        return [standing.shown() for standing in self._all.values()]

    def _count(self, standing: Standing) -> None:
        if standing.left is None:
            return
        standing.left -= 1
        if standing.left:
            return
        del self._all[standing.id]
        for number in standing.order.to or [ANYONE]:
            shelf = self._shelves[number]
            shelf.pop(standing.id, None)
            if not shelf:
                del self._shelves[number]
