"""All statuses are folded again from their events; only what differs is written."""

from typing import Any

from models.status import STATUS_BIT, Status, status_of
from receiver import recompute
from tests.support.beds import connect
from tests.support.dialect import Dialect, configured, heard

WORDS = Dialect({"sent": Status.SENT, "done": Status.DELIVERED, "lost": Status.UNDELIVERED})


async def run(database_url: str, **options: Any) -> list[tuple[str | None, str]]:
    return [
        (change.before, change.after)
        async for stretch in recompute.run(configured(database_url), **options)
        for change in stretch.changes
    ]


async def test_only_messages_that_differ_are_written(database_url: str) -> None:
    """As after a migration of the ladder: bits that stood for another status."""
    db = await connect(database_url)
    try:
        await heard(db, WORDS, [["T1", "sent"], ["T1", "lost"]])
        await heard(db, WORDS, [["T2", "done"]])
        wrong = STATUS_BIT[Status.DELIVERED]
        changed = await db.fetchval(
            """UPDATE postback.message m SET seen = $1 FROM postback.reference r
               WHERE r.message_id = m.id AND r.provider_message_id = 'T1' RETURNING m.id""",
            wrong,
        )
        await db.execute("UPDATE postback.event SET bits = $1 WHERE status = 'undelivered'", wrong)
        await db.execute("DELETE FROM postback.attention")
        untouched = "SELECT xmin, * FROM postback.message WHERE id <> $1"
        before = await db.fetch(untouched, changed)

        changes = await run(database_url)

        assert [("delivered", "undelivered")] == changes
        row = await db.fetchrow("SELECT * FROM postback.message WHERE id = $1", changed)
        assert Status.UNDELIVERED == status_of(row["seen"], row["origin"])
        assert 1 == await db.fetchval("SELECT count(*) FROM postback.attention WHERE failure")
        assert before == await db.fetch(untouched, changed)
        newest = await db.fetchrow("SELECT * FROM postback.event ORDER BY seq DESC LIMIT 1")
        assert ("message.undelivered", "operator", 1) == (newest["type"], newest["source"], newest["replay"])
        assert [] == await run(database_url)
    finally:
        await db.close()


async def test_it_goes_on_where_it_stopped(database_url: str) -> None:
    db = await connect(database_url)
    try:
        for named in ("T1", "T2"):
            await heard(db, WORDS, [[named, "sent"]])
        await db.execute("UPDATE postback.message SET seen = 0")
        first, second = [row["id"] for row in await db.fetch("SELECT id FROM postback.message ORDER BY id")]

        changes = await run(database_url, after=first)

        assert [("queued", "sent")] == changes
        assert 0 == await db.fetchval("SELECT seen FROM postback.message WHERE id = $1", first)
        assert 0 < await db.fetchval("SELECT seen FROM postback.message WHERE id = $1", second)
    finally:
        await db.close()
