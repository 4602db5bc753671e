"""``Retry-After`` in every form that HTTP allows, and in those that it does not, from carriers and apps."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.sends import Answer, Fate
from receiver import retry_after
from receiver.providers.base import Provider
from tests.support.cases import each_provider
from tests.support.installation import installation
from tests.support.sockets import serving

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
#: an hour behind ours
THEIRS = "Sat, 21 Nov 2026 11:00:00 GMT"


@pytest.mark.parametrize(
    ("asked", "pause"),
    [
        ("120", 120.0),
        (" 7 ", 7.0),
        ("1.5", 1.5),
        ("2.", 2.0),
        ("0", 0.0),
        ("-5", 0.0),
        ("86401", 86400.0),
        ("1" + "0" * 400, 86400.0),
        ("9" * 513, None),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90.0),
        ("Saturday, 21-Nov-26 12:01:30 GMT", 90.0),
        ("Sat Nov 21 12:01:30 2026", 90.0),
        ("Sat, 21 Nov 2026 13:00:00 -0000", 3600.0),
        ("Sat, 21 Nov 2026 13:00:00 +0100", 0.0),
        ("Sat, 21 Nov 2026 11:00:00 GMT", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 86400.0),
        ("Sat, 31 Feb 2026 11:00:00 GMT", None),
        ("Sat, 21 Nov 2026 13:00:00 GMT" + " " * 600 + "x", None),
        ("soon", None),
        ("nan", None),
        ("inf", None),
        ("1e9", None),
        ("1,5", None),
        ("٣", None),
        ("", None),
        (None, None),
    ],
)
def test_a_pause_is_read_in_seconds_or_as_a_date(asked: str | None, pause: float | None) -> None:
    headers = {} if asked is None else {"Retry-After": asked}

    assert pause == retry_after.seconds(headers, NOW)


@pytest.mark.parametrize(
    ("date", "pause"),
    [(THEIRS, 90.0), ("Sat Nov 21 11:00:00 2026", 90.0), ("", 0.0), ("yesterday", 0.0), ("9" * 600, 0.0)],
)
def test_a_date_is_held_against_the_answers_own_clock_and_ours_where_it_has_none(
    date: str, pause: float
) -> None:
    headers = {"retry-after": "Sat, 21 Nov 2026 11:01:30 GMT", "date": date}

    assert pause == retry_after.seconds(headers, NOW)


def test_a_date_is_unreadable_where_there_is_no_clock_at_all() -> None:
    assert retry_after.seconds({"retry-after": THEIRS}, None) is None


@given(
    asked=st.text(max_size=600) | st.from_regex(r"[0-9A-Za-z ,:+-]{0,40}"),
    date=st.text(max_size=40) | st.none(),
)
def test_whatever_is_written_there_is_a_pause_within_a_day_or_none(asked: str, date: str | None) -> None:
    headers = {"retry-after": asked} | ({} if date is None else {"date": date})
    pause = retry_after.seconds(headers, NOW)

    assert pause is None or 0 <= pause <= 86400


@pytest.mark.parametrize("body", [b"", b"{}", b"<html>Come again</html>"])
@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("headers", "pause"),
    [
        ({"retry-after": "Sat, 21 Nov 2026 11:01:30 GMT", "date": THEIRS}, 90.0),
        ({"retry-after": "Sat, 21 Nov 2026 12:01:30 GMT"}, 90.0),
        ({"Retry-After": "1.5"}, 1.5),
        ({"retry-after": "soon"}, None),
    ],
    ids=["date", "date by our clock", "decimal", "garbage"],
)
@each_provider()
def test_a_carrier_that_says_when_to_come_again_has_taken_nothing(
    provider: Provider, headers: dict[str, str], pause: float | None, status: int, body: bytes
) -> None:
    outcome = provider.outcome(Answer(status, headers, body, NOW))

    assert (Fate.THROTTLED, pause) == (outcome.fate, outcome.retry_after)


async def test_a_send_waits_as_its_carrier_says_and_is_sent_again(database_url: str) -> None:
    turned_away = b"HTTP/1.1 %s\r\n%s\r\ncontent-length: 0\r\n\r\n"
    later = b"date: Sat, 21 Nov 2020 12:00:00 GMT\r\nretry-after: Sat, 21 Nov 2020 12:00:02 GMT"
    taken = b'{"status": "success", "tracking-id": "T1"}'
    async with serving() as carrier:
        carrier.turns.append(turned_away % (b"503 Service Unavailable", later))
        carrier.turns.append(turned_away % (b"429 Too Many Requests", b"retry-after: 1.5"))
        carrier.turns.append(turned_away % (b"429 Too Many Requests", b"retry-after: 0"))
        carrier.turns.append(turned_away % (b"503 Service Unavailable", b"retry-after: soon"))
        carrier.answer = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(taken), taken)
        base_url = f"http://127.0.0.1:{carrier.port}/"
        async with installation(database_url, base_url=base_url) as home:
            sent = await home.send()
            message = await home.until(sent["id"], "queued", within=60)

    pauses = [after - before for before, after in pairwise(carrier.at)]
    assert ["T1"] == message["provider_message_ids"]
    # what cannot be waited for leaves it to the sender's own pauses, which double
    assert [True] * 4 == [pause >= least for pause, least in zip(pauses, (2, 1.5, 3, 6), strict=True)]


@pytest.mark.parametrize("status", [500, 502, 503, 504])
@pytest.mark.parametrize("headers", [{}, {"retry-after": " "}], ids=["none", "blank"])
@each_provider()
def test_a_server_that_does_not_say_so_may_have_taken_it(
    provider: Provider, headers: dict[str, str], status: int
) -> None:
    assert Fate.UNDECIDED == provider.outcome(Answer(status, headers, b"", NOW)).fate


@pytest.mark.parametrize("status", [500, 502, 504])
@each_provider()
def test_of_a_gateway_that_failed_a_time_to_come_again_proves_nothing(
    provider: Provider, status: int
) -> None:
    assert Fate.UNDECIDED == provider.outcome(Answer(status, {"retry-after": "5"}, b"", NOW)).fate
