"""Kept requests are read again: what they said wrongly is taken back, and nothing else is touched."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from uuid_utils.compat import uuid7

from models.status import CORRELATION_BIT, Status, status_of
from receiver.kept import KeptPayload
from receiver.read import ids
from receiver.reread import Reading
from receiver.sql import qualified
from tests.support.beds import connect
from tests.support.dialect import SECRETS, Dialect, heard, replay, replayed

pytestmark = pytest.mark.stock

#: of a batch that somebody else is in the way of
TRIES = 20
WRONG = Dialect({"sent": Status.SENT, "done": Status.DELIVERED})
RIGHT = Dialect({"sent": Status.SENT, "done": Status.FAILED})


async def standing(db: Any) -> list[tuple[Any, ...]]:
    """Status, number of the replay and payload of each event that stands, in the order of the feed."""
    rows = await db.fetch(
        "SELECT status, replay, payload_id FROM postback.event WHERE NOT superseded ORDER BY seq"
    )
    return [tuple(row) for row in rows]


async def status(db: Any, named: str = "T1") -> str:
    row = await db.fetchrow(
        """SELECT seen, origin FROM postback.message m JOIN postback.reference r ON r.message_id = m.id
           WHERE r.provider_message_id = $1""",
        named,
    )
    return status_of(row["seen"], row["origin"])


async def feed_head(db: Any) -> int:
    return await db.fetchval("SELECT seq FROM postback.feed_head")  # type: ignore[no-any-return]


async def test_a_wrong_delivered_is_taken_back(db: Any, database_url: str) -> None:
    sent = await heard(db, WRONG, [["T1", "sent"]])
    done = await heard(db, WRONG, [["T1", "done"]])
    before = await feed_head(db)

    summary = await replayed(replay(database_url, RIGHT))

    (change,) = summary.messages.values()
    assert ("delivered", "failed", 1) == (change.before, change.after, change.written)
    assert (1, 1) == (summary.written, summary.superseded)
    assert "failed" == await status(db)
    assert [("sent", 0, sent), ("failed", 1, done)] == await standing(db)
    assert before + 1 == await feed_head(db)
    (old, new) = await db.fetch("SELECT * FROM postback.event WHERE payload_id = $1 ORDER BY seq", done)
    assert (True, old["received_at"]) == (old["superseded"], new["received_at"])
    assert new["effective"]
    assert 1 == await db.fetchval("SELECT count(*) FROM postback.attention WHERE failure")


async def test_a_report_that_comes_again_after_its_replay_is_a_duplicate(db: Any, database_url: str) -> None:
    await heard(db, WRONG, [["T1", "done"]])
    await replayed(replay(database_url, RIGHT))

    again = await heard(db, RIGHT, [["T1", "done"]])

    assert "duplicate" == await db.fetchval("SELECT state FROM postback.payload WHERE id = $1", again)
    assert 1 == len(await standing(db))


async def test_where_nothing_changes_nothing_is_written(db: Any, database_url: str) -> None:
    await heard(db, WRONG, [["T1", "sent"], ["T1", "odd"], ["T2", "done"]])
    await heard(db, WRONG, [["M1", "says", "Yes"]])
    rows = "SELECT xmin, * FROM postback.{} ORDER BY 2"
    tables = ("event", "message", "payload", "feed_head", "reference", "conversation")
    before = [await db.fetch(rows.format(table)) for table in tables]

    summary = await replayed(replay(database_url, WRONG))

    assert ({}, 0, 0) == (summary.messages, summary.written, summary.superseded)
    # the lock on a payload's row leaves no new version of it
    assert before == [await db.fetch(rows.format(table)) for table in tables]


async def test_a_word_that_is_understood_now_becomes_its_status(db: Any, database_url: str) -> None:
    payload = await heard(db, Dialect({}), [["T1", "odd"]])

    await replayed(replay(database_url, Dialect({"odd": Status.DELIVERED})))

    assert [("delivered", 1, payload)] == await standing(db)
    assert "message.delivered" == await db.fetchval("SELECT type FROM postback.event WHERE NOT superseded")


async def test_an_event_whose_teller_is_corrected_goes_to_another_that_told_it(
    db: Any, database_url: str
) -> None:
    # "alias" is read as "sent" at first, so that the second request tells nothing new
    same = Dialect(WRONG.meanings, renamed={"alias": "sent"})
    first = await heard(db, same, [["T1", "alias"], ["T1", "done"]])
    second = await heard(db, same, [["T1", "sent"]])
    head = await feed_head(db)

    summary = await replayed(replay(database_url, Dialect(WRONG.meanings)), first)

    found = {row[0]: row[2] for row in await standing(db)}
    assert {None: first, "delivered": first, "sent": second} == found
    assert "delivered" == await status(db)
    assert head + summary.written == await feed_head(db)


async def test_a_status_that_no_event_explains_is_announced(db: Any, database_url: str) -> None:
    """Readers of the feed learn that `delivered` is no longer so, although nobody says anything instead."""
    await heard(db, WRONG, [["T1", "sent"]])
    await heard(db, WRONG, [["T1", "done"]])

    await replayed(replay(database_url, Dialect(WRONG.meanings, unheard=["done"])))

    newest = await db.fetchrow("SELECT * FROM postback.event ORDER BY seq DESC LIMIT 1")
    assert ("message.sent", "operator", "sent", 0, True) == (
        newest["type"], newest["source"], newest["status"], newest["bits"], newest["effective"],
    )  # fmt: skip
    assert "sent" == await status(db)


async def test_what_is_not_understood_any_more_is_left_as_it_was(db: Any, database_url: str) -> None:
    payload = await heard(db, WRONG, [["T1", "done"]])

    summary = await replayed(replay(database_url, Dialect({}, unreadable=["done"])))

    assert "delivered" == await status(db)
    filed = summary.payloads[payload]
    assert ("applied", "a word that makes no sense") == (filed.after, filed.reason)


async def test_a_quarantined_inbound_message_takes_its_place_in_time(db: Any, database_url: str) -> None:
    then = datetime.now(UTC) - timedelta(hours=3)
    payload = await heard(db, Dialect({}, unreadable=["says"]), [["M1", "says", "Yes"]], received_at=then)

    summary = await replayed(replay(database_url, Dialect({})))

    (row,) = await db.fetch("SELECT * FROM postback.message")
    assert ("inbound", {row["id"]}) == (row["direction"], set(summary.messages))
    assert abs(ids.created_at(row["id"]) - then) < timedelta(milliseconds=2)
    assert then == await db.fetchval("SELECT received_at FROM postback.event")
    kept = await db.fetchrow("SELECT * FROM postback.payload WHERE id = $1", payload)
    assert ("applied", None, [row["id"]]) == (kept["state"], kept["reason"], kept["message_ids"])


async def test_a_stop_that_is_understood_late_counts_from_when_it_was_said(
    db: Any, database_url: str
) -> None:
    then = datetime.now(UTC) - timedelta(hours=3)
    await heard(db, Dialect({}, unreadable=["says"]), [["M1", "says", "STOP"]], received_at=then)

    foretold = await replayed(replay(database_url, Dialect({})), dry=True)
    done = await replayed(replay(database_url, Dialect({})))
    await replayed(replay(database_url, Dialect({})))

    assert foretold == done
    events = await db.fetch("SELECT type, received_at FROM postback.event ORDER BY seq")
    assert [("message.received", then), ("contact.opted_out", then)] == [tuple(row) for row in events]


async def test_what_still_makes_no_sense_stays_with_its_new_reason(db: Any, database_url: str) -> None:
    payload = await heard(db, Dialect({}), [], state="quarantined", reason="long ago", body=b"{")

    await replayed(replay(database_url, Dialect({})))

    kept = await db.fetchrow("SELECT * FROM postback.payload WHERE id = $1", payload)
    assert ("quarantined", "the parser failed: JSONDecodeError") == (kept["state"], kept["reason"])


@pytest.mark.parametrize(
    ("mended", "state"),
    [
        ({"basic": "carrier:right"}, "applied"),
        ({"basic": ["carrier:newer", "carrier:right"]}, "applied"),
        ({"basic": ["carrier:newer", "carrier:newest"]}, "unverified"),
        ({"bearer": "right"}, "unverified"),
        ({"basic": "carrier:other"}, "unverified"),
        ({"basic": "carrier:right", "allow_from": ["192.0.2.0/24"]}, "unverified"),
        ({}, "applied"),
    ],
)
async def test_an_unverified_request_is_judged_by_todays_setting(
    db: Any, database_url: str, mended: dict[str, Any], state: str
) -> None:
    given = SECRETS.keyed_hash("credential", b"Basic Y2FycmllcjpyaWdodA==").hex()
    payload = await heard(
        db, WRONG, [["T1", "done"]], state="unverified", headers=f'{{"authorization": "hmac:{given}"}}'
    )

    await replayed(replay(database_url, WRONG, **mended))

    assert state == await db.fetchval("SELECT state FROM postback.payload WHERE id = $1", payload)
    assert (1 if state == "applied" else 0) == len(await standing(db))


WORDS = ("a", "b", "c", "d")
meanings = st.dictionaries(st.sampled_from(WORDS), st.sampled_from(list(Status)[:-1]))
renamed = st.dictionaries(st.sampled_from(WORDS), st.sampled_from(WORDS), max_size=2)
dialects = st.builds(
    lambda means, unheard, renamed: Dialect(means, unheard=unheard, renamed=renamed),
    meanings,
    st.sets(st.sampled_from(WORDS), max_size=2),
    renamed,
)
requests = st.lists(
    st.lists(
        st.tuples(st.sampled_from(("T", "U")), st.sampled_from(WORDS), st.sampled_from((None, "x"))),
        min_size=1,
        max_size=3,
    ),
    min_size=1,
    max_size=5,
)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.data(),
    said=requests,
    old=dialects,
    new=dialects,
    deaf=st.sets(st.sampled_from(WORDS), max_size=2),
)
def test_replayed_in_any_order_it_is_as_if_it_had_come_today(
    database_url: str, data: st.DataObject, said: list[Any], old: Dialect, new: Dialect, deaf: set[str]
) -> None:
    """And the dry run foretells it to the id."""
    old.unreadable = deaf
    order = data.draw(st.permutations(range(len(said))), "order")

    async def both() -> None:
        db = await connect(database_url)
        try:
            await _arrive(db, new, said, fresh := str(uuid7()))
            payloads = await _arrive(db, old, said, world := str(uuid7()))
            replaying = replay(database_url, new)
            foretold = await replayed(replaying, *payloads, dry=True)
            if data.draw(st.booleans(), "all at once"):
                assert foretold == await replayed(replaying, *payloads)
            for _ in range(2):
                for place in order:
                    await replayed(replaying, payloads[place])
            expected = await _world(db, fresh)
            assert expected == await _world(db, world), f"{said} as {old}, then as {new}"
            head = await feed_head(db)
            again = await replayed(replaying, *payloads)
            assert ({}, head) == (again.messages, await feed_head(db))
        finally:
            await db.close()

    asyncio.run(both())


async def _arrive(db: Any, dialect: Dialect, said: list[Any], world: str) -> list[UUID]:
    begin = datetime(2026, 11, 20, tzinfo=UTC)
    return [
        await heard(
            db,
            dialect,
            [[f"{named}{world}", word, code] for named, word, code in one],
            received_at=begin + timedelta(seconds=place),
        )
        for place, one in enumerate(said)
    ]


async def _world(db: Any, world: str) -> dict[str, Any]:
    """All that is known of its messages, but for identities, numbers and the ways of finding them."""
    known = {}
    for named in ("T", "U"):
        row = await db.fetchrow(
            """SELECT m.id, m.seen, a.uncertain, a.conflict, a.failure, a.error_class, a.error_code
               FROM postback.reference r JOIN postback.message m ON m.id = r.message_id
               LEFT JOIN postback.attention a ON a.message_id = m.id WHERE r.provider_message_id = $1""",
            f"{named}{world}",
        )
        events = await db.fetch(
            """SELECT key, status, bits, provider_status, provider_code, error_class, received_at
               FROM postback.event WHERE message_id = $1 AND NOT superseded AND payload_id IS NOT NULL
               ORDER BY key""",
            row and row["id"],
        )
        if events:
            facts = {**dict(row), "seen": row["seen"] & ~sum(CORRELATION_BIT.values()), "id": None}
            if not facts["failure"]:
                # what is kept of an error counts, and is shown, for failures alone
                facts.update(error_class=None, error_code=None)
            known[named] = [facts, [tuple(event) for event in events]]
        elif row:
            assert 0 == row["seen"] & ~sum(CORRELATION_BIT.values())
    return known


async def test_what_is_redacted_while_it_is_read_again_does_not_come_back(
    db: Any, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    removed = await heard(db, WRONG, [["T1", "done"]])
    await heard(db, WRONG, [["T2", "done"]])
    replaying = replay(database_url, RIGHT)
    read = replaying._reader.read

    async def and_redacted(payload: KeptPayload, **options: Any) -> Reading:
        reading = await read(payload, **options)
        if payload.id == removed:
            await db.execute(qualified("SELECT postback.strip($1)", "postback"), list(payload.message_ids))
        return reading

    monkeypatch.setattr(replaying._reader, "read", and_redacted)
    summary = await replayed(replaying)

    assert [("delivered", "failed")] == [(one.before, one.after) for one in summary.messages.values()]
    assert 2 == await db.fetchval("SELECT count(*) FROM postback.message")
    assert removed not in summary.payloads
    assert ["delivered", "failed"] == [row[0] for row in await standing(db)]


async def test_intake_goes_on_while_its_messages_are_replayed(db: Any, database_url: str) -> None:
    """Nobody waits for long, nothing is lost, and every event has its number in the feed."""
    payloads = [await heard(db, WRONG, [["T1", "sent"], [f"T{n}", "done"]]) for n in range(2, 12)]
    other = await connect(database_url)
    try:

        async def arrive() -> None:
            for n in range(2, 12):
                said = [[f"T{n}", "sent"], ["T1", f"word {n}"]]
                for _ in range(TRIES):
                    with suppress(asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
                        await heard(other, RIGHT, said)  # again, as the group committer would
                        break

        await asyncio.gather(arrive(), *(replayed(replay(database_url, RIGHT), one) for one in payloads))
    finally:
        await other.close()

    assert ["failed"] * 10 == [await status(db, f"T{n}") for n in range(2, 12)]
    numbers = [row["seq"] for row in await db.fetch("SELECT seq FROM postback.event ORDER BY seq")]
    assert list(range(1, len(numbers) + 1)) == numbers
    assert len(numbers) == await feed_head(db)
