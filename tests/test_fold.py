"""A message is a function of the set of its reports: order, repetition and batches make no difference.

Proven on the SQL that does it, and on the pure functions that read it.
"""

import asyncio
from itertools import permutations
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from uuid_utils.compat import uuid7

from models.errors import ErrorClass
from models.events import Report
from models.status import OUTCOME, Outcome, Status, bits, conflict, delivered_as, seen_range, status_of
from receiver.sources import Source
from tests.support.beds import connect
from tests.support.store import arrival, postback, send, store, told

#: what reports on one message may say, contradictions and words that nobody knows included; no two have one
#: identity, for of a report that was sent twice the first wording stands
WORDS: list[dict[str, Any]] = [
    postback("N101", None),
    postback("N102", None, **{"sent-as": "MMS"}),
    postback("N102", None, **{"sent-as": "SMS"}),
    postback("N102", None, status="Message Sent/Expired"),
    postback("N102", None, timestamp="2026-11-21T09:00:02Z"),
    postback("N103", None),
    postback("N202", None),
    postback("N777", None, status="Teleported"),
    postback("E101", None, **{"status-details": "Impossible to send"}),
    postback("E101", None, to=None, timestamp="2026-11-21T09:00:03Z", **{"from": None}),
    postback("E102", None, **{"client-reference": "ord-1"}),
    postback(
        "E102", None, to="12065550777", timestamp="2026-11-21T09:00:04Z", **{"client-reference": "ord-2"}
    ),
    postback("E012", None),
]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), ours=st.booleans())
def test_any_order_repetition_and_batching_gives_the_same_message(
    database_url: str, data: st.DataObject, ours: bool
) -> None:
    chosen = data.draw(st.lists(st.integers(0, len(WORDS) - 1), min_size=1, max_size=6), "reports")
    shuffled = data.draw(st.permutations(chosen + data.draw(st.lists(st.sampled_from(chosen), max_size=4))))
    sizes = data.draw(st.lists(st.integers(1, 4), min_size=len(shuffled), max_size=len(shuffled)))

    async def both() -> tuple[dict[str, Any], dict[str, Any]]:
        db = await connect(database_url)
        try:
            plain = await _message_after(db, [[place] for place in sorted(set(chosen))], ours)
            return plain, await _message_after(db, _batches(shuffled, sizes), ours)
        finally:
            await db.close()

    plain, mixed = asyncio.run(both())

    assert plain == mixed


async def _message_after(db: asyncpg.Connection, batches: list[list[int]], ours: bool) -> dict[str, Any]:
    """Everything about the message that these batches of reports make, but for its identity and its times."""
    tracking_id, echo = f"T{uuid7()}", None
    if ours:
        message_id, submission_id = await send(db)
        echo = str(submission_id)
    for batch in batches:
        reports = [WORDS[place] for place in batch]
        if echo:
            # the recipient counts for our own id; one who differs belongs to a foreign report
            reports = [{**report, "client-reference": echo, "to": "12065550123"} for report in reports]
        await store(db, [arrival({**report, "tracking-id": tracking_id}) for report in reports])
    if not ours:
        message_id = await db.fetchval(
            "SELECT message_id FROM postback.reference WHERE provider_message_id = $1", tracking_id
        )
    row = await db.fetchrow(
        """SELECT m.seen, m.version, m.our_number, m.contact, m.client_reference, a.uncertain, a.conflict,
                  a.failure, a.error_class, a.error_code, a.error_message,
                  (SELECT count(*) FROM postback.event e WHERE e.message_id = m.id) AS events
           FROM postback.message m LEFT JOIN postback.attention a ON a.message_id = m.id WHERE m.id = $1""",
        message_id,
    )
    assert row is not None
    return dict(row)


@pytest.mark.parametrize("together", [True, False])
async def test_of_a_report_that_was_sent_twice_the_first_wording_is_why_a_message_failed(
    database_url: str, together: bool
) -> None:
    """As its timeline says; the second wording is in no event."""
    reports = [
        told(
            Source("sinch-us", "sinch_mms", "+18885551234"),
            Report("T1", "E101", Status.FAILED, ("T1",), provider_code=code, error=ErrorClass.CARRIER_ERROR),
        )
        for code in ("first", "a code that sorts before it")
    ]
    db = await connect(database_url)
    for batch in [reports] if together else [[report] for report in reports]:
        await store(db, batch)

    codes = await db.fetch("SELECT error_code FROM postback.attention")

    await db.close()
    assert ["first"] == [row["error_code"] for row in codes]


def _batches(items: list[int], sizes: list[int]) -> list[list[int]]:
    batches, start = [], 0
    for size in sizes:
        if start < len(items):
            batches.append(items[start : start + size])
        start += size
    return batches


@pytest.mark.parametrize(
    ("reports", "status", "in_conflict"),
    [
        (["delivered", "sent"], "delivered", False),
        (["expired", "delivered"], "delivered", False),
        (["unconfirmed", "delivered"], "delivered", False),
        (["failed", "delivered"], "delivered", True),
        (["rejected", "delivered"], "delivered", True),
        (["delivered", "undelivered"], "delivered", True),
        (["delivered", "canceled"], "delivered", True),
        (["delivered_to_carrier", "undelivered"], "undelivered", False),
        (["expired", "failed"], "failed", False),
        (["uncertain", "queued"], "queued", False),
        (["accepted", "uncertain"], "uncertain", False),
        (["uncertain", "sent"], "sent", False),
    ],
)
def test_the_table_of_the_fold(reports: list[str], status: str, in_conflict: bool) -> None:
    """Each row in every order."""
    for order in permutations(reports):
        seen = 0
        for word in order:
            seen |= bits(Status(word))
        assert (status, in_conflict) == (status_of(seen, "api"), conflict(seen))


def test_a_message_of_which_nothing_is_understood_is_accepted_if_ours_and_queued_if_not() -> None:
    assert Status.ACCEPTED == status_of(0, "api")
    assert Status.QUEUED == status_of(bits(None), "external")


def test_delivered_as_is_that_of_the_success_and_mms_when_there_are_both() -> None:
    failed_mms = bits(Status.REJECTED, delivered_as="mms")
    as_sms = bits(Status.DELIVERED, delivered_as="sms")

    assert "sms" == delivered_as(failed_mms | as_sms)
    assert "mms" == delivered_as(as_sms | bits(Status.DELIVERED, delivered_as="mms"))
    assert None is delivered_as(failed_mms)


@given(st.sets(st.sampled_from(list(Status)), min_size=1))
def test_a_status_is_a_range_of_what_was_seen(words: set[Status]) -> None:
    seen = 0
    for word in words:
        seen |= bits(word, delivered_as="sms")

    lowest, beyond = seen_range(status_of(seen, "api"))

    assert lowest <= seen < beyond


def test_every_status_has_an_outcome() -> None:
    assert set(Status) == set(OUTCOME)
    assert set(Outcome) == set(OUTCOME.values())
