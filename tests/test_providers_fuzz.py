"""Whatever a carrier sends or answers: every provider reads it, or says that it cannot."""

import json
from collections.abc import Iterator
from random import Random
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faults import fuzz_texts
from models.events import Inbound, Request, TemplateReport, Unreadable
from models.sends import Answer, Fate
from receiver.providers import PROVIDERS
from receiver.providers.base import Provider
from tests.support.cases import channel_of, each_provider, entry, identities, read_cases

LONGEST_ID = 255
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text())
JSON = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(), inner, max_size=4)),
    max_leaves=8,
)
ODD = st.one_of(
    JSON, st.sampled_from(["a\0b", "\ud800", "9" * 5000, "0001-01-01T00:00:00+14:00", "://[", "+"])
)


#: an inbound message of each carrier, and the key under which its text stands
JSON_INBOUND: dict[str, dict[str, Any]] = {
    "sinch_mms": {"origin": "MMS_MO", "code": "N401", "from": "12065550123", "tracking-id": "1"},
    "sinch_sms": {"type": "mo_text", "id": "1", "from": "12065550123"},
    "swift": {"type": "sms", "id": "1", "from": "12065550123"},
    "voicetel": {"referenceId": "1", "from": "12065550123", "to": "12012548000", "deliveryReceipt": False},
    "cellcast": {"message_id": "1", "from": "61400000000"},
    "cellcast_v1": {"type": "receive", "_id": "1", "sender": "61400000000"},
}
TEXT_KEYS = {
    "sinch_mms": "message-text", "sinch_sms": "body", "swift": "body", "voicetel": "text", "cellcast": "body",
    "cellcast_v1": "message",
}  # fmt: skip


def bodies(name: str, key: str) -> st.SearchStrategy[bytes]:
    """Bytes, JSON, and real bodies of *name* of which some fields were replaced by anything."""
    said = [case.says[key].get("body") for case in read_cases(name) if key in case.says]
    real = [body for body in said if isinstance(body, dict) and body]
    spoiled = st.sampled_from(real).flatmap(
        lambda body: st.dictionaries(st.sampled_from(sorted(body)), ODD).map(lambda odd: {**body, **odd})
    )
    texts = st.one_of(JSON, spoiled, st.lists(spoiled, max_size=3)).map(json.dumps)
    return st.one_of(st.binary(), st.text().map(str.encode), texts.map(str.encode))


def texts_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from texts_in(list(value.values()))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from texts_in(item)


@each_provider()
@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_a_parser_answers_anything_with_what_can_be_stored_or_unreadable(
    provider: Provider, data: st.DataObject
) -> None:
    body = data.draw(bodies(provider.name, "request"))
    try:
        events = provider.parse(Request("POST", b"", {}, body), channel_of(provider.name))
    except Unreadable:
        return
    kept = [[entry(event) for event in events], identities(events)]
    ids = [event.provider_message_id or "" for event in events if not isinstance(event, TemplateReport)]

    assert orjson.dumps(kept)  # refuses half a surrogate pair, as Postgres does
    assert not any("\0" in written for written in texts_in(kept))
    assert all(len(found) <= LONGEST_ID for found in ids)


@each_provider()
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_answer_at_all_has_an_outcome(provider: Provider, data: st.DataObject) -> None:
    body = data.draw(bodies(provider.name, "answer"))
    headers = {"retry-after": data.draw(st.sampled_from(["", "5", "1e9", "nan", "-1", "9" * 400, "soon"]))}
    outcome = provider.outcome(Answer(data.draw(st.integers(100, 599)), headers, body))

    assert outcome.fate in Fate
    assert outcome.retry_after is None or 0 <= outcome.retry_after <= 86400


@each_provider()
def test_json_nested_without_end_is_unreadable_and_nothing_worse(provider: Provider) -> None:
    for depth in (500, 990, 100_000):
        body = b"[" * depth + b"]" * depth
        with pytest.raises(Unreadable):
            provider.parse(Request("POST", b"", {}, body), channel_of(provider.name))


@each_provider()
@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_a_text_of_any_letters_is_read_as_it_was_written_in_every_charset(
    provider: Provider, seed: int
) -> None:
    written = fuzz_texts.inbound(Random(seed), provider.name, "an-id")  # noqa: S311
    method = "GET" if written.query else "POST"
    request = Request(method, written.query, written.headers, written.body)
    [event] = provider.parse(request, channel_of(provider.name))

    assert isinstance(event, Inbound)
    assert (written.text, "an-id") == (event.text, event.provider_message_id), written.charset


@each_provider()
@settings(max_examples=100, deadline=None)
@given(said=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1))
def test_any_text_at_all_is_read_from_json_as_it_was_written(provider: Provider, said: str) -> None:
    body = json.dumps(JSON_INBOUND[provider.name] | {TEXT_KEYS[provider.name]: said}).encode()
    [event] = provider.parse(Request("POST", b"", {}, body), channel_of(provider.name))

    assert isinstance(event, Inbound)
    assert said == event.text


@pytest.mark.parametrize("said", [" ", "\n", "\u2028", "\x1f\t"])
@each_provider()
def test_a_person_may_send_blanks_and_nothing_else(provider: Provider, said: str) -> None:
    body = json.dumps(JSON_INBOUND[provider.name] | {TEXT_KEYS[provider.name]: said}).encode()
    [event] = provider.parse(Request("POST", b"", {}, body), channel_of(provider.name))

    assert isinstance(event, Inbound)
    assert said == event.text


def test_json_in_utf_16_is_no_form_though_an_equals_sign_is_in_it() -> None:
    body = json.dumps(JSON_INBOUND["voicetel"] | {"text": "1+1=2"})
    for charset in ("utf-16", "utf-16-le", "utf-16-be", "utf-32"):
        request = Request("POST", b"", {}, body.encode(charset))
        [event] = PROVIDERS["voicetel"].parse(request, channel_of("voicetel"))

        assert isinstance(event, Inbound)
        assert "1+1=2" == event.text
