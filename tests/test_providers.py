"""What must be true of every provider, over the fixtures of each: docs/providers/README.md tells their form.

Nothing here names a carrier. A new one brings its file, its fixtures and its page, and no test code.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from models.errors import ErrorClass, advice
from models.events import Unreadable
from models.sends import Fate
from models.status import Status
from receiver.providers.base import Provider
from tests.support.cases import (
    CASES,
    FIXTURES,
    NAMES,
    SUBMISSION_ID,
    Case,
    answer_of,
    channel_of,
    each_provider,
    entry,
    identities,
    made,
    named,
    plain,
    read_cases,
    request_of,
    submission_of,
    told,
)

PAGES = Path(__file__).parent.parent / "docs" / "providers"


@told("expected")
def test_a_request_tells_what_its_fixture_expects(case: Case) -> None:
    assert case.says["expected"] == [entry(event) for event in case.events()]


@told("unreadable")
def test_an_unreadable_request_says_why(case: Case) -> None:
    with pytest.raises(Unreadable) as caught:
        case.events()

    assert case.says["unreadable"] in str(caught.value)


@told("same_as")
def test_a_resent_request_is_known_again(case: Case) -> None:
    before = identities(named(case, case.says["same_as"]).events())

    assert before
    assert before == identities(case.events())


@told("news_after")
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
    expected = {"method": "POST", **case.says["call"]}

    assert [] == case.provider.check(submission, case.channel)
    assert expected == made(case.provider.call(submission, case.channel), expected)


@told("submission", "problems")
def test_a_submission_over_the_limits_is_told_which(case: Case) -> None:
    problems = case.provider.check(submission_of(case.says["submission"]), case.channel)

    assert case.says["problems"] == [plain(problem) for problem in problems]


@told("submission")
def test_what_is_checked_for_each_recipient_is_all_that_the_recipient_breaks(case: Case) -> None:
    submission = submission_of(case.says["submission"])
    problems = case.provider.check(submission, case.channel)

    assert [problem for problem in problems if problem.pointer == "/to"] == case.provider.check_recipient(
        submission, case.channel
    )


@told("answer", "outcome")
def test_an_answer_means_what_its_fixture_expects(case: Case) -> None:
    assert case.says["outcome"] == plain(case.provider.outcome(answer_of(case.says["answer"])))


@told("poll", "list", "call")
def test_a_page_is_polled_by_the_call_of_its_fixture(case: Case) -> None:
    call = case.provider.poll(case.channel, case.says["poll"], case.says["list"])
    expected = {"method": "GET", "body": "", **case.says["call"]}

    assert call is not None
    assert expected == made(call, expected)


@told("polled", "more")
def test_a_polled_page_says_whether_there_is_another(case: Case) -> None:
    assert (
        case.says["more"]
        == case.provider.polled(answer_of(case.says["polled"]), case.channel, case.says.get("list", ""))[1]
    )


@told("polled", "collected")
def test_what_was_polled_is_collected_by_the_call_of_its_fixture(case: Case) -> None:
    call = case.provider.collected(case.events(), case.channel)
    expected = {"method": "POST", **case.says["collected"]}

    assert call is not None
    assert expected == made(call, expected)


@told("ask", "call")
def test_a_carrier_is_asked_by_the_call_of_its_fixture(case: Case) -> None:
    call = case.provider.ask(**case.says["ask"], channel=case.channel)
    expected = {"method": "GET", "body": "", **case.says["call"]}

    assert call is not None
    assert expected == made(call, expected)


@told("channel", "misconfigured")
def test_a_key_that_cannot_be_used_is_told_when_the_receiver_starts(case: Case) -> None:
    assert case.says["misconfigured"] == case.provider.misconfigured(case.channel)


def test_every_fixture_is_used() -> None:
    forms: list[set[str]] = [
        {"request", "expected"},
        {"request", "unreadable"},
        {"request", "authentic"},
        {"submission", "call"},
        {"submission", "problems"},
        {"answer", "outcome"},
        {"poll", "list", "call"},
        {"polled", "expected", "more"},
        {"polled", "unreadable"},
        {"ask", "call"},
        {"told", "expected"},
        {"told", "unreadable"},
        {"channel", "misconfigured"},
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
def test_the_channel_of_the_fixtures_is_well_configured(provider: Provider) -> None:
    assert provider.misconfigured(channel_of(provider.name)) is None


@each_provider()
def test_the_acknowledgement_is_a_success_with_a_json_body(provider: Provider) -> None:
    status, body = provider.acknowledge()

    assert 200 <= status < 300
    assert body == b"" or orjson.loads(body) is not None


@told("submission", "call")
def test_our_id_travels_where_the_carrier_echoes_it_and_the_key_never_in_the_url(case: Case) -> None:
    call = case.provider.call(submission_of(case.says["submission"]), case.channel)
    secrets = [value for key, value in case.channel.extra.items() if "key" in key or "token" in key]

    echoed = case.says.get("echoed", case.provider.echoes_reference)

    assert echoed == (str(SUBMISSION_ID).encode() in call.body)
    assert not any(secret in call.url for secret in secrets)
