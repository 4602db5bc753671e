"""What the rows of a send hold is bounded for all of its recipients together, and counted in full."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from receiver import send_commit
from receiver.accepted import LARGEST_SEND, Accepted
from receiver.requests.sends import LARGEST_METADATA, LARGEST_OPTIONS, LONGEST_FALLBACK, MAX_RECIPIENTS
from receiver.rows import MediaRow, MessageRow
from tests.support.beds import connect
from tests.support.installation import CHANNEL, THEM, Installation, installation

MESSAGES = "/v1/messages"
NUMBERS = [f"+1206555{number:04}" for number in range(MAX_RECIPIENTS)]
#: the longest text that Sinch takes, in characters of four bytes each
TEXT = "\N{GRINNING FACE}" * 5000
LONG = "x" * 900_000


@pytest.fixture
async def home(database_url: str) -> AsyncIterator[Installation]:
    async with installation(database_url, sender=False) as made:
        yield made


def filled(size: int) -> dict[str, str]:
    """Returns an object that is *size* bytes of JSON."""
    return {"a": "x" * (size - len('{"a":""}'))}


async def refusal(home: Installation, path: str, **body: Any) -> tuple[int, str, str, str]:
    answer = await home.api.post(path, json=body)
    problem = answer.json()
    (error,) = problem["errors"]
    return answer.status_code, problem["code"], error["pointer"], error["detail"]


async def stored(database_url: str) -> int:
    db = await connect(database_url)
    try:
        number: int = await db.fetchval("SELECT count(*) FROM postback.message_body")
        return number
    finally:
        await db.close()


@pytest.mark.parametrize(("field", "most"), [("metadata", LARGEST_METADATA), ("options", LARGEST_OPTIONS)])
async def test_an_object_that_each_recipients_rows_hold_is_refused_above_its_figure(
    home: Installation, database_url: str, field: str, most: int
) -> None:
    body = {field: filled(most + 1)}
    sent = await refusal(home, MESSAGES, to=NUMBERS, text="Hello", **body)
    message = await home.send()
    conversation = f"/v1/conversations/{message['conversation_id']}/messages"
    replied = await refusal(home, conversation, text="Hello", **body)

    assert (422, "content_too_large", f"/{field}") == sent[:3]
    assert f"may be {most} bytes of JSON; it is {most + 1}" == sent[3]
    assert sent == replied
    assert 1 == await stored(database_url)


async def test_metadata_of_the_most_that_may_be_are_kept_for_each_recipient(home: Installation) -> None:
    metadata = filled(LARGEST_METADATA)
    answer = await home.api.post(MESSAGES, json={"to": NUMBERS[:9], "text": "Hello", "metadata": metadata})

    assert 202 == answer.status_code
    assert [metadata] * 9 == [message["metadata"] for message in answer.json()["data"]]


CONTENT: dict[str, dict[str, Any]] = {
    "text": {"text": TEXT},
    "a fallback": {"text": "Hello", "fallback_text": TEXT},
    "options": {"text": "Hello", "options": filled(LARGEST_OPTIONS)},
    "metadata and a subject": {"text": "Hello", "subject": "S", "metadata": filled(LARGEST_METADATA)},
    "addresses of files": {"media": [{"url": f"https://example.com/{'x' * 2000}.png"}] * 8},
}


@pytest.mark.parametrize("what", CONTENT)
async def test_what_all_recipients_rows_hold_together_is_bounded_before_there_is_a_row(
    home: Installation, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    added: list[Any] = []
    monkeypatch.setattr(Accepted, "add", lambda *given: added.append(given))
    media = {"media": [{"url": "https://example.com/map.png"}]}
    sent = await refusal(home, MESSAGES, **{"channel": CHANNEL, "to": NUMBERS, **media, **CONTENT[what]})

    assert (422, "content_too_large", "/to") == sent[:3]
    assert f"for each of {MAX_RECIPIENTS} recipients; a call may have {LARGEST_SEND} bytes" in sent[3]
    assert [] == added


async def test_the_same_to_fewer_recipients_is_taken(home: Installation) -> None:
    few = LARGEST_SEND // len(TEXT.encode()) - 1
    await home.send()  # what the first send of a process takes longer is not the matter
    answer = await home.api.post(MESSAGES, json={"to": NUMBERS[:few], "text": TEXT, "subject": "S"})

    assert 400 < few
    assert (202, few) == (answer.status_code, len(answer.json()["data"]))


async def test_the_text_that_stands_in_for_an_mms_is_bounded_in_a_send_and_in_a_template(
    home: Installation,
) -> None:
    body = {"fallback_text": "x" * (LONGEST_FALLBACK + 1), "text": "Hello"}
    sent = await refusal(home, MESSAGES, to=THEM, **body)
    saved = await refusal(home, "/v1/templates", channel=CHANNEL, name="t", **body)

    assert (422, "invalid_field", "/fallback_text") == sent[:3] == saved[:3]
    assert str(LONGEST_FALLBACK) in sent[3]


TEXTS = [
    (kind, name)
    for kind in (MessageRow, MediaRow)
    for name, of in kind.__annotations__.items()
    if of in (str, str | None)
]


@pytest.mark.parametrize(("kind", "name"), TEXTS)
def test_every_text_of_a_row_counts_for_what_may_wait(kind: Any, name: str) -> None:
    def size(text: str) -> int:
        fields: dict[str, Any] = dict.fromkeys(kind._fields) | {name: text}
        rows = [kind(**fields)]
        prepared = Accepted(rows, [], [], None) if kind is MessageRow else Accepted([], rows, [], None)
        return send_commit._size(prepared)

    assert len(LONG) == size(LONG) - size("")


def test_the_texts_of_rows_are_among_those_that_count() -> None:
    assert {(MessageRow, "metadata"), (MessageRow, "options"), (MediaRow, "url")} <= set(TEXTS)
