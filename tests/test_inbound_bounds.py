"""How many files and participants of one inbound message are taken."""

import asyncio
from collections.abc import AsyncIterator

import orjson
import pytest

from receiver.correlate import MOST_PARTICIPANTS
from receiver.media.arriving import MOST_FILES
from tests.support.receiver import CHANNEL, TOKEN, Receiver, running

OURS = "+12012548000"
CHANNELS = {CHANNEL: {"provider": "voicetel", "tokens": [TOKEN], "from": [OURS]}}


@pytest.fixture
async def receiver(database_url: str) -> AsyncIterator[Receiver]:
    async with running(database_url, CHANNELS) as served:
        yield served


async def test_a_message_queues_few_files_and_names_how_many_it_did_not(receiver: Receiver) -> None:
    urls = [f"https://files.example/{number}.jpg" for number in range(20_000)]
    group = [f"+1206{number:07d}" for number in range(2_000)]
    message = {"id": "1", "from": "+12065550123", "to": [OURS, *group], "text": "Look", "media": urls}

    answer = await receiver.client.post(receiver.hook(), content=orjson.dumps(message))

    assert 200 == answer.status_code
    files = await receiver.rows("SELECT url FROM postback.media ORDER BY position")
    assert urls[:MOST_FILES] == [file["url"] for file in files]
    [body] = await receiver.rows("SELECT metadata_ AS said, participants FROM postback.message_body")
    assert MOST_PARTICIPANTS == len(body["participants"])
    assert {
        "files_not_taken": len(urls) - MOST_FILES,
        "participants_not_taken": len(group) - MOST_PARTICIPANTS,
    } == orjson.loads(body["said"])
    [conversation] = await receiver.rows("SELECT participants FROM postback.conversation")
    assert MOST_PARTICIPANTS == len(conversation["participants"])


async def test_of_files_that_came_inside_no_more_are_stored_than_are_shown(receiver: Receiver) -> None:
    part = b'--b\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n'
    fields = {b"id": b"2", b"from": b"+12065550123", b"to": OURS.encode(), b"text": b"Look"}
    form = b"".join(part % (name, b"", value) for name, value in fields.items())
    form += b"".join(part % (b"f%d" % n, b'; filename="%d.bin"' % n, b"\x00\x01%d" % n) for n in range(90))

    answer = await receiver.client.post(receiver.hook(), content=form + b"--b--\r\n")

    assert 200 == answer.status_code
    [shown] = await receiver.rows("SELECT count(*) FROM postback.media WHERE state = 'stored'")
    store = receiver.settings.data_dir / "media"
    stored = await asyncio.to_thread(lambda: [path for path in store.rglob("*") if path.is_file()])
    assert (MOST_FILES, True) == (shown["count"], len(stored) <= MOST_FILES)
