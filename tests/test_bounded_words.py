"""What a carrier says at length is read at once, kept short, and kept whole in its payload."""

import gzip
import time
from typing import Any

import orjson
import pytest

from models.events import Event, Report, TemplateReport, Unreadable
from receiver.metrics import definitions
from receiver.providers import reading
from receiver.providers.base import Provider
from tests.support.cases import CASES, answer_of, channel_of, each_provider, request_of
from tests.support.receiver import CHANNEL, running

#: characters of whatever is no text of a person: a sentence, and what says how many more there were
LONGEST = reading.LONGEST_SENTENCE + len("… (1000000 more)")


def spoilt(value: Any, text: str) -> list[Any]:
    """*value* with *text* for each of its fields in turn, and for all of them."""
    if not isinstance(value, dict):
        return []
    return [value | {key: text} for key in value] + [dict.fromkeys(value, text)]


def words_of(event: Event) -> tuple[str | None, ...]:
    """Those in an event that its carrier chose, but for its text, its files and what it adds to them."""
    if isinstance(event, TemplateReport):
        return event.provider_status, event.provider_template_id
    if isinstance(event, Report):
        codes = event.provider_status, event.provider_code
        return *codes, event.provider_message_id, event.client_reference, event.sender, event.recipient
    media = [word for part in event.media for word in (part.content_type, part.name)]
    return event.provider_status, event.sender, event.recipient, *event.participants, *media


@each_provider()
@pytest.mark.parametrize("text", ["x" + " " * 20_000 + "y", "9" * 20_000], ids=["blanks", "digits"])
def test_no_provider_keeps_a_word_a_number_or_a_sentence_of_any_length(provider: Provider, text: str) -> None:
    channel = channel_of(provider.name)
    said = [case.says for case in CASES if case.provider_name == provider.name]
    reasons: list[str] = []
    for body in [body for one in said for body in spoilt(one.get("request", {}).get("body"), text)]:
        try:
            events = provider.parse(request_of({"body": body}), channel)
        except Unreadable as error:
            reasons.append(str(error))
            continue
        for event in events:
            assert all(len(word) <= reading.LONGEST_ID for word in words_of(event) if word), event
            assert not isinstance(event, Report) or len(event.provider_message or "") <= LONGEST
    assert all(len(reason) < 2 * LONGEST for reason in reasons)
    for one in said:
        for body in spoilt(one.get("answer", {}).get("body"), text):
            outcome = provider.outcome(answer_of(one["answer"] | {"body": body}))
            for told in (outcome, *outcome.results.values()):
                assert len(told.provider_code or "") <= reading.LONGEST_WORD
                assert len(told.provider_message or "") <= LONGEST


async def test_a_status_word_without_end_is_an_unknown_word_that_costs_no_time(database_url: str) -> None:
    word = "Gone" + " " * 20_000 + "astray"
    body = orjson.dumps({"tracking-id": "long-word", "status": word, "from": "12065550123"})
    async with running(database_url) as receiver:
        began = time.process_time()
        sent = gzip.compress(body)
        answer = await receiver.client.post(
            receiver.hook(), content=sent, headers={"content-encoding": "gzip"}
        )
        spent = time.process_time() - began
        auth = {"authorization": f"Bearer {receiver.key}"}
        found = await receiver.client.post(
            f"{receiver.url}/v1/messages/lookup", json={"provider_message_ids": ["long-word"]}, headers=auth
        )
        [message] = found.json()["data"]
        events = await receiver.client.get(f"{receiver.url}/v1/messages/{message['id']}/events", headers=auth)
        [payload] = await receiver.payloads()

    assert (200, "applied") == (answer.status_code, payload["state"])
    assert sent == payload["body"]
    [event] = events.json()["data"]
    assert ("message.unmapped", "Gone" + " " * 59 + "…") == (event["type"], event["provider_status"])
    assert ("Gone" + " " * 36) in {
        labels[1] for labels in definitions.UNMAPPED.counts if labels[0] == CHANNEL
    }
    assert spent < 2, "it took four and a half seconds of the processor"


def test_a_sentence_is_cut_with_how_much_was_left_out_and_a_word_with_a_mark() -> None:
    assert "y" * 1000 + "… (500 more)" == reading.sentence("y" * 1500)
    assert "y" * 63 + "…" == reading.word(" " + "y" * 100)
    assert "y" * 64 == reading.word("y" * 64 + " ")
    assert "y" * 254 + "…" == reading.number("y" * 300)


def test_an_id_that_no_index_holds_is_not_cut_to_another_id() -> None:
    with pytest.raises(Unreadable):
        reading.identifier("x" * 256, "id")
