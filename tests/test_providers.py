"""What must be true of every provider, over the fixtures of each: docs/providers/README.md tells their form.

Nothing here names a carrier. A new one brings its file, its fixtures and its page, and no test code.
"""

import json
from base64 import b64decode
from collections.abc import Callable, Iterator
from dataclasses import MISSING, dataclass, fields
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import ErrorClass, advice
from models.events import (
    Answer,
    Event,
    Fate,
    Inbound,
    OutgoingMedia,
    Report,
    Request,
    Submission,
    TemplateReport,
    Unreadable,
)
from models.status import Status
from receiver.config import ChannelSettings
from receiver.providers import PROVIDERS
from receiver.providers.base import Provider

HERE = Path(__file__).parent
FIXTURES = HERE / "fixtures"
PAGES = HERE.parent / "docs" / "providers"
NAMES = sorted(PROVIDERS)
SUBMISSION_ID = UUID("01920000-0000-7000-8000-00000000c0de")
LONGEST_ID = 255
EVENT_NAMES = {Report: "report", Inbound: "inbound", TemplateReport: "template"}


@dataclass(frozen=True)
class Case:
    """One fixture, or one row of a fixture that is a table."""

    provider_name: str
    label: str
    says: dict[str, Any]

    @property
    def provider(self) -> Provider:
        return PROVIDERS[self.provider_name]

    @property
    def channel(self) -> ChannelSettings:
        return channel_of(self.provider_name)

    def events(self) -> list[Event]:
        return self.provider.parse(request_of(self.says["request"]), self.channel)


@cache
def channel_of(name: str) -> ChannelSettings:
    said = json.loads((FIXTURES / name / "channel.json").read_text())
    return ChannelSettings(name="practice", provider=name, **said)


def read_cases(name: str) -> Iterator[Case]:
    for path in sorted((FIXTURES / name).glob("*.json")):
        said = json.loads(path.read_text())
        if isinstance(said, list):
            yield from (Case(name, f"{path.stem}[{row}]", says) for row, says in enumerate(said))
        elif path.stem != "channel":
            yield Case(name, path.stem, said)


CASES = [case for name in NAMES for case in read_cases(name)]


def told(*keys: str) -> pytest.MarkDecorator:
    """Every case that has all of *keys*."""
    chosen = [case for case in CASES if case.says.keys() >= set(keys)]
    return pytest.mark.parametrize(
        "case", chosen, ids=[f"{case.provider_name}/{case.label}" for case in chosen]
    )


def each_provider() -> pytest.MarkDecorator:
    return pytest.mark.parametrize("provider", PROVIDERS.values(), ids=PROVIDERS)


def named(case: Case, label: str) -> Case:
    return next(other for other in CASES if (other.provider_name, other.label) == (case.provider_name, label))


def request_of(said: dict[str, Any]) -> Request:
    """A JSON value is sent as JSON, a string as it stands; bytes that are no text are in base64."""
    body = said.get("body", "")
    if "body_base64" in said:
        raw = b64decode(said["body_base64"])
    else:
        raw = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    return Request(said.get("method", "POST"), said.get("query", "").encode(), said.get("headers", {}), raw)


def answer_of(said: dict[str, Any]) -> Answer:
    request = request_of(said)
    return Answer(said.get("status", 200), request.headers, request.body)


def submission_of(said: dict[str, Any]) -> Submission:
    given = {"action": "send", "sender": None, "recipient": None} | said
    given["media"] = [OutgoingMedia(**file) for file in said.get("media", [])]
    if "expires_at" in said:
        given["expires_at"] = datetime.fromisoformat(said["expires_at"])
    return Submission(id=SUBMISSION_ID, **given)


def plain(value: Any) -> Any:
    """A value of ours as a fixture writes it: what has its default, and the identity, is left out."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if not hasattr(value, "__dataclass_fields__"):
        return value
    return {
        field.name: plain(getattr(value, field.name))
        for field in fields(value)
        if field.name != "identity" and not has_default(field, getattr(value, field.name))
    }


def has_default(field: Any, value: Any) -> bool:
    default = field.default_factory() if field.default_factory is not MISSING else field.default
    return bool(value == default)


def entry(event: Event) -> dict[str, Any]:
    return {EVENT_NAMES[type(event)]: plain(event)}


def identities(events: list[Event]) -> list[Any]:
    return [event.identity for event in events if not isinstance(event, TemplateReport)]


# --- each fixture ---------------------------------------------------------------------------------


@told("request", "expected")
def test_a_request_tells_what_its_fixture_expects(case: Case) -> None:
    assert case.says["expected"] == [entry(event) for event in case.events()]


@told("request", "unreadable")
def test_an_unreadable_request_says_why(case: Case) -> None:
    with pytest.raises(Unreadable) as caught:
        case.events()

    assert case.says["unreadable"] in str(caught.value)


@told("request", "same_as")
def test_a_resent_request_is_known_again(case: Case) -> None:
    assert identities(named(case, case.says["same_as"]).events()) == identities(case.events())


@told("request", "news_after")
def test_a_later_request_is_news(case: Case) -> None:
    before = identities(named(case, case.says["news_after"]).events())

    assert set(before).isdisjoint(identities(case.events()))


@told("request", "authentic")
def test_a_forgery_is_told_from_the_carrier(case: Case) -> None:
    assert case.says["authentic"] == case.provider.authenticate(
        request_of(case.says["request"]), case.channel
    )


@told("submission", "call")
def test_a_submission_becomes_the_call_of_its_fixture(case: Case) -> None:
    submission = submission_of(case.says["submission"])
    call = case.provider.call(submission, case.channel)
    expected = {"method": "POST", **case.says["call"]}
    made: dict[str, Any] = {"method": call.method, "url": call.url, "headers": dict(call.headers)}
    body = call.body.decode()
    made["body"] = json.loads(body) if isinstance(expected["body"], dict) else body

    assert [] == case.provider.check(submission, case.channel)
    assert expected == made


@told("submission", "problems")
def test_a_submission_over_the_limits_is_told_which(case: Case) -> None:
    problems = case.provider.check(submission_of(case.says["submission"]), case.channel)

    assert case.says["problems"] == [plain(problem) for problem in problems]


@told("answer", "outcome")
def test_an_answer_means_what_its_fixture_expects(case: Case) -> None:
    assert case.says["outcome"] == plain(case.provider.outcome(answer_of(case.says["answer"])))


def test_every_fixture_is_used() -> None:
    forms: list[set[str]] = [
        {"request", "expected"},
        {"request", "unreadable"},
        {"request", "authentic"},
        {"submission", "call"},
        {"submission", "problems"},
        {"answer", "outcome"},
    ]
    unused = [case.label for case in CASES if not any(case.says.keys() >= form for form in forms)]

    assert [] == unused
    assert NAMES == sorted(path.name for path in FIXTURES.iterdir() if (path / "channel.json").exists())


# --- what each provider's fixtures must hold ------------------------------------------------------


def reports(name: str) -> list[dict[str, Any]]:
    expected = [event for case in read_cases(name) for event in case.says.get("expected", [])]
    return [event["report"] for event in expected if "report" in event]


def has_status(status: Status) -> Callable[[str], bool]:
    return lambda name: any(report["status"] == status for report in reports(name))


def has_fate(fate: Fate) -> Callable[[str], bool]:
    return lambda name: any(
        case.says["outcome"]["fate"] == fate for case in read_cases(name) if "outcome" in case.says
    )


def has(key: str) -> Callable[[str], bool]:
    return lambda name: any(key in case.says for case in read_cases(name))


def has_inbound(name: str) -> bool:
    return any("inbound" in event for case in read_cases(name) for event in case.says.get("expected", []))


def has_failure(name: str) -> bool:
    return any("error" in report for report in reports(name))


def has_unknown_word(name: str) -> bool:
    return any(report["status"] is None and report["provider_status"] for report in reports(name))


def has_forgery(name: str) -> bool:
    return any(case.says.get("authentic") is False for case in read_cases(name))


EVERYBODY = {
    "an unreadable body": has("unreadable"),
    "an inbound message": has_inbound,
    "a resent request": has("same_as"),
    "a send": has("call"),
    "a send over a limit": has("problems"),
    "a send accepted": has_fate(Fate.ACCEPTED),
    "a send refused": has_fate(Fate.REFUSED),
    "a send throttled": has_fate(Fate.THROTTLED),
    "a send undecided": has_fate(Fate.UNDECIDED),
}
REPORTING = {"a failure": has_failure, "an unknown word": has_unknown_word}


def demanded(provider: Provider) -> dict[str, Callable[[str], bool]]:
    demands = dict(EVERYBODY)
    if provider.statuses:
        demands |= REPORTING | {f"{word} reported": has_status(word) for word in provider.statuses.values()}
    if type(provider).authenticate is not Provider.authenticate:
        demands["a forgery"] = has_forgery
    return demands


@each_provider()
def test_the_fixtures_show_all_that_a_carrier_can_say(provider: Provider) -> None:
    missing = [demand for demand, met in demanded(provider).items() if not met(provider.name)]

    assert [] == missing


class Consulted(dict[str, Any]):
    """A table that remembers which of its words were looked up."""

    def __init__(self, table: Any) -> None:
        super().__init__(table)
        self.words: set[str] = set()

    def get(self, key: str, default: Any = None) -> Any:
        self.words.add(key)
        return super().get(key, default)

    def __getitem__(self, key: str) -> Any:
        self.words.add(key)
        return super().__getitem__(key)


@each_provider()
def test_every_word_of_the_tables_is_in_a_fixture(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    statuses, errors = Consulted(provider.statuses), Consulted(provider.errors)
    monkeypatch.setattr(provider, "statuses", statuses)
    monkeypatch.setattr(provider, "errors", errors)
    for case in read_cases(provider.name):
        if "expected" in case.says:
            case.events()
        elif "outcome" in case.says:
            provider.outcome(answer_of(case.says["answer"]))

    assert set() == statuses.keys() - statuses.words
    assert set() == errors.keys() - errors.words


# --- what a provider declares ---------------------------------------------------------------------


@each_provider()
def test_the_tables_hold_our_words_only(provider: Provider) -> None:
    assert set() == set(provider.statuses.values()) - set(Status)
    assert set() == set(provider.errors.values()) - set(ErrorClass)
    assert provider.kinds <= {"sms", "mms"}
    assert provider.report_window > 0


@pytest.mark.parametrize("error", ErrorClass)
def test_every_error_class_has_a_next_step(error: ErrorClass) -> None:
    given = advice(error)

    assert given.retry in ("never", "later", "fix")
    assert given.next_step.endswith(".")


@each_provider()
def test_a_provider_has_its_page_and_the_page_its_keys_and_words(provider: Provider) -> None:
    page = (PAGES / f"{provider.name}.md").read_text()
    words = [*provider.keys, *provider.statuses]

    assert [] == [word for word in words if f"`{word}`" not in page]


@each_provider()
def test_the_acknowledgement_is_a_success_with_a_json_body(provider: Provider) -> None:
    status, body = provider.acknowledge()

    assert 200 <= status < 300
    assert body == b"" or orjson.loads(body) is not None


@told("submission", "call")
def test_our_id_travels_where_the_carrier_echoes_it_and_the_key_never_in_the_url(case: Case) -> None:
    call = case.provider.call(submission_of(case.says["submission"]), case.channel)
    secrets = [value for key, value in case.channel.extra.items() if "key" in key or "token" in key]

    assert case.provider.echoes_reference == (str(SUBMISSION_ID).encode() in call.body)
    assert not any(secret in call.url for secret in secrets)


# --- whatever comes -------------------------------------------------------------------------------

SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text())
JSON = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(), inner, max_size=4)),
    max_leaves=8,
)
ODD = st.one_of(
    JSON, st.sampled_from(["a\0b", "\ud800", "9" * 5000, "0001-01-01T00:00:00+14:00", "://[", "+"])
)


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
    except Unreadable as error:
        assert str(error)
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
