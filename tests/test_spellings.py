"""Numbers that are written in several ways are one person's: one conversation, one opt-out, one erasure."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.events import Report
from models.status import STATUS_BIT, Status
from receiver import phone
from receiver.erase import Erase
from receiver.optouts import OptOuts
from receiver.sources import Source
from tests.support import receiver
from tests.support.api import SECRETS, running
from tests.support.beds import connect
from tests.support.consent import OURS, begin, events, hear, listed, queue, says, until_blocked, waiting
from tests.support.functions import called
from tests.support.records import accept, outgoing
from tests.support.store import US, store, told

#: country -> a person's number in all its ways, the shortest first
PEOPLE = {
    "Mexico": ("+525512345678", "+5215512345678"),
    "Buenos Aires": ("+541123456789", "+5491123456789", "+54111523456789"),
    "Córdoba": ("+543512345678", "+5493512345678", "+54351152345678", "+54351215345678"),
    "Brazil": ("+551187654321", "+5511987654321"),
}
#: two ways of two people; that Postgres knows the others is tried by itself
some = pytest.mark.parametrize(
    ("one", "other"), [PEOPLE["Mexico"], PEOPLE["Córdoba"][1:3]], ids=["Mexico", "Argentina"]
)
STRANGERS = [
    "+551123456789",  # a landline of São Paulo: it never had a ninth digit
    "+5511923456789",
    "+12065550123",
    "+521551234567",
    "+52155123456789",
    "+5411152345678",
    "28444",
    "MTN",
]


@pytest.mark.parametrize("ways", PEOPLE.values(), ids=list(PEOPLE))
def test_each_way_names_all_the_others_and_itself_first(ways: Sequence[str]) -> None:
    for way in ways:
        assert ways[0] == phone.spelling(way)
        assert way == phone.spellings(way)[0]
        assert set(ways) == set(phone.spellings(way))


@pytest.mark.parametrize("way", [way for ways in PEOPLE.values() for way in ways])
def test_a_person_can_be_written_to_in_every_way(way: str) -> None:
    """A carrier that says +521… of who wrote would not be answered else."""
    assert phone.parse(way, "US") in phone.spellings(way)
    if way.startswith("+52"):
        assert way == phone.parse(way, "US")


@pytest.mark.parametrize("number", STRANGERS)
def test_any_other_number_has_one_way(number: str) -> None:
    assert (number,) == phone.spellings(number)


@given(st.from_regex(r"\A\+5[2-5][0-9]{7,14}\Z"))
def test_two_numbers_share_all_their_spellings_or_none(number: str) -> None:
    spelt = set(phone.spellings(number))

    assert number in spelt
    assert all(spelt == set(phone.spellings(other)) for other in spelt)
    assert {phone.spelling(number)} == {phone.spelling(other) for other in spelt}


async def test_postgres_knows_the_same_spellings(db: asyncpg.Connection) -> None:
    numbers = [*STRANGERS, "", *(way for ways in PEOPLE.values() for way in ways)]
    numbers += [
        f"+{country}{middle}{'23456789012345'[:length]}"
        for country in ("52", "53", "54", "55")
        for middle in ("", "1", "9", "15", "11", "119", "1115", "35115", "351215", "11987", "1187")
        for length in range(3, 12)
    ]
    rows = await db.fetch(
        called("SELECT postback.spelling(n) AS one, postback.spellings(n) AS all FROM unnest($1::text[]) n"),
        numbers,
    )

    assert [phone.spelling(number) for number in numbers] == [row["one"] for row in rows]
    assert [set(phone.spellings(number)) for number in numbers] == [set(row["all"]) for row in rows]


@some
async def test_an_opt_out_under_one_spelling_stops_sends_to_the_other(
    database_url: str, db: asyncpg.Connection, one: str, other: str
) -> None:
    """Those that wait, those that are claimed, and those to come; and an opt-in under the other ends it."""
    queued = await queue(database_url, to=other)
    claimed = await queue(database_url, to=other, claimed=True)
    await hear(db, says("STOP", sender=one))
    assert [] == await waiting(db)
    await accept(database_url, outgoing(other, scope=[US, "*"]))
    assert [] == await waiting(db)
    refused = [event["message_id"] for event in await events(db, "message.rejected")]
    assert {queued, claimed} < set(refused)
    assert 3 == len(refused)

    await hear(db, says("START", sender=other))
    assert [] == await listed(db)
    await queue(database_url, to=one)
    assert 1 == len(await waiting(db))


@some
async def test_a_claim_that_a_stop_overtook_is_not_called_for(
    database_url: str, db: asyncpg.Connection, one: str, other: str
) -> None:
    """The list is looked at again just before the request leaves."""
    message_id = await queue(database_url, to=other, claimed=True)
    await db.execute(
        """INSERT INTO postback.opt_out (contact, our_number, contact_hash, id, since, source, certainty)
           VALUES ($1, $2, '', gen_random_uuid(), now(), 'keyword', 'certain')""",
        one, US,
    )  # fmt: skip

    assert None is await begin(db, message_id)


@some
async def test_what_a_person_says_under_two_spellings_at_once_is_written_down_one_after_the_other(
    database_url: str, db: asyncpg.Connection, one: str, other: str
) -> None:
    second, watcher = await connect(database_url), await connect(database_url)
    async with db.transaction():
        await hear(db, says("STOP", sender=one))
        saying = asyncio.create_task(hear(second, says("START", sender=other)))
        await until_blocked(watcher, second)
        assert not saying.done()
    await saying
    await second.close()
    await watcher.close()

    assert [] == await listed(db)


@some
async def test_what_an_erased_number_left_counts_for_the_other_spelling(
    database_url: str, db: asyncpg.Connection, one: str, other: str
) -> None:
    rules = OptOuts(secrets=SECRETS)
    await db.execute(
        """INSERT INTO postback.opt_out (contact, our_number, contact_hash, id, since, source, certainty)
           VALUES ('+52XXXX', $1, $2, gen_random_uuid(), now(), 'keyword', 'certain')""",
        US, rules.hash(one),
    )  # fmt: skip
    row = outgoing(other, scope=[US, "*"])
    await accept(database_url, row._replace(contact_hashes=rules.hashes(other)))

    assert [] == await waiting(db)


@some
async def test_messages_of_one_person_go_into_one_conversation(
    database_url: str, db: asyncpg.Connection, one: str, other: str
) -> None:
    await hear(db, says("hola", sender=one))
    await accept(database_url, outgoing(other))
    await hear(db, says("otra vez", sender=other), says("y otra", sender=one))

    [conversation] = await db.fetch("SELECT * FROM postback.conversation")
    written = {row["contact"] for row in await db.fetch("SELECT contact FROM postback.message")}
    assert (4, 3, []) == (
        conversation["message_count"], conversation["unread_count"], conversation["participants"],
    )  # fmt: skip
    assert {one, other} == written


@some
async def test_a_conversation_from_before_goes_on_whichever_way_the_person_is_written(
    database_url: str, db: asyncpg.Connection, one: str, other: str
) -> None:
    """It stands under the number as it came then."""
    await hear(db, says("hola", sender=one))
    await db.execute("UPDATE postback.conversation SET thread = $1", one)
    await hear(db, says("otra vez", sender=other))
    await accept(database_url, outgoing(other))

    assert [3] == [row["message_count"] for row in await db.fetch("SELECT * FROM postback.conversation")]


@some
async def test_of_two_conversations_from_before_the_one_that_was_used_last_goes_on(
    db: asyncpg.Connection, one: str, other: str
) -> None:
    for contact in (one, other):
        await hear(db, says("hola", sender=contact))
        await db.execute(
            "UPDATE postback.conversation SET thread = '-' || contact WHERE contact = $1", contact
        )
    await db.execute("UPDATE postback.conversation SET thread = contact")
    await hear(db, says("otra vez", sender=one))

    counts = await db.fetch("SELECT message_count FROM postback.conversation ORDER BY last_message_at")
    assert [1, 2] == [row["message_count"] for row in counts]


@some
async def test_a_report_on_one_recipient_of_a_batch_finds_it_under_the_other_spelling(
    database_url: str, db: asyncpg.Connection, one: str, other: str
) -> None:
    """And so it does when the reports of one batch name it in either way."""
    [message_id] = await accept(database_url, outgoing(one))
    await db.execute(
        """INSERT INTO postback.reference (provider_message_id, channel, recipient, inbound, message_id)
           VALUES ('batch', $1, $2, false, $3)""",
        OURS.channel, one, message_id,
    )  # fmt: skip
    for number in (other, one):
        report = Report(
            "batch", "Delivered", Status.DELIVERED, (number,), recipient=number, batch_recipient=number
        )
        await store(db, [told(OURS, report)])

    assert [message_id] == [row["id"] for row in await db.fetch("SELECT id FROM postback.message")]
    assert 3 == await db.fetchval("SELECT count(*) FROM postback.event")


@some
async def test_a_report_without_a_name_is_guessed_by_the_number_under_the_other_spelling(
    database_url: str, db: asyncpg.Connection, one: str, other: str
) -> None:
    silent = Source(OURS.channel, "voicetel", US, guess_within=timedelta(days=3))
    [message_id] = await accept(database_url, outgoing(one))
    await db.execute(
        "UPDATE postback.message SET seen = seen | $1 WHERE id = $2", STATUS_BIT[Status.QUEUED], message_id
    )
    report = Report("T1", "0", Status.DELIVERED, ("T1",), sender=US, recipient=other)
    await store(db, [told(silent, report)])

    assert [message_id] == [row["id"] for row in await db.fetch("SELECT id FROM postback.message")]


@some
async def test_whoever_is_erased_is_erased_under_every_spelling(
    database_url: str, tmp_path: Path, one: str, other: str
) -> None:
    data_dir = tmp_path / "data"
    async with receiver.running(database_url, data_dir=str(data_dir)) as here:
        for number in phone.spellings(one):
            said = {
                "code": "N401",
                "origin": "MMS_MO",
                "to": US[1:],
                "from": number[1:],
                "message-subject": "STOP",
            }
            await here.client.post(here.hook(), json={**said, "tracking-id": f"mo-{number}"})
        settings = here.settings
    report = await Erase(settings).run(other)

    db = await connect(database_url)
    found = await db.fetch("SELECT contact, our_number FROM postback.message")
    left = str(await db.fetch("SELECT * FROM postback.opt_out_entry"))
    await db.close()
    spelt = phone.spellings(one)
    assert len(spelt) == report.messages == len(found)
    assert all(row["contact"].endswith("XXXX") for row in found)
    assert [] == [number for number in spelt if number[1:] in left]


@some
async def test_lists_find_a_person_under_every_spelling(database_url: str, one: str, other: str) -> None:
    async with running(database_url) as api:
        db = await connect(database_url)
        await hear(db, says("STOP", sender=one), says("hola", sender=other))
        for asked in (one, other):
            for path, query, number in (
                ("/v1/messages", {"contact": asked}, 2),
                ("/v1/messages", {"from": asked}, 2),
                ("/v1/messages", {"to": asked}, 0),
                ("/v1/messages", {"contact": asked, "limit": "1"}, 1),
                ("/v1/conversations", {"contact": asked}, 1),
                ("/v1/opt-outs", {"contact": asked}, 1),
            ):
                assert number == len((await api.get(path, params=query))["data"]), (path, query)
            pair = await api.get(f"/v1/opt-outs/{US}/{asked}")
            assert (True, 1) == (pair["opted_out"], len(pair["ledger"]))
        assert [True] == [one["opted_out"] for one in (await api.get("/v1/conversations"))["data"]]
        await db.close()
