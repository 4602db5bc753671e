"""Numbers as people and carriers write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver import phone


@pytest.mark.parametrize(
    ("written", "normalised"),
    [
        ("+12065550123", "+12065550123"),
        ("12065550123", "+12065550123"),
        ("0012065550123", "+12065550123"),
        (" +1 (206) 555-0123 ", "+12065550123"),
        # parsed with the region US, this French number would become +133662162466
        ("33662162466", "+33662162466"),
        ("28444", "28444"),
        ("+28444", "28444"),
        ("18885551", "18885551"),
        # Niue's numbers are as short as short codes; only the plus sign tells them apart
        ("+6834000", "+6834000"),
        ("+683 4000", "+6834000"),
    ],
)
def test_a_number_with_its_country_code_gets_its_plus_sign(written: str, normalised: str) -> None:
    assert normalised == phone.international(written)


@pytest.mark.parametrize(
    "written",
    ["", "12", "ACME", "1-800-FLOWERS", "0400000000", "1234567890123456", "\uff11\uff12065550123", "+"],
)
def test_what_cannot_be_normalised_stays_as_it_came(written: str) -> None:
    assert written == phone.international(written)


@given(st.one_of(st.text(), st.from_regex(r"\+?[0-9 ().-]{0,20}", fullmatch=True)))
def test_normalising_twice_changes_nothing_more(written: str) -> None:
    once = phone.international(written)

    assert once == phone.international(once)


@pytest.mark.parametrize(
    ("written", "region", "normalised"),
    [
        ("+12065550123", "US", "+12065550123"),
        ("(206) 555-0123", "US", "+12065550123"),
        ("+44 20 7946 0000", "US", "+442079460000"),
        ("0400000000", "AU", "+61400000000"),
        # not assigned to anybody, and in every example of a carrier's documentation
        ("+12003004000", "US", "+12003004000"),
        # phonenumbers alone makes +128444 of it
        ("28444", "US", "28444"),
    ],
)
def test_a_recipient_is_read_as_its_region_writes_numbers(written: str, region: str, normalised: str) -> None:
    assert normalised == phone.parse(written, region)


@pytest.mark.parametrize(
    "written",
    [
        "",
        "12",
        "ACME",
        "+1206555",
        "+999123456789",
        "+12065550123 ext. 5",
        "1" * 300,
        # a number without its area code: somebody else's, or nobody's
        "555-0123",
    ],
)
def test_a_recipient_that_no_message_can_go_to_is_refused_with_the_form_expected(written: str) -> None:
    with pytest.raises(phone.InvalidNumber, match=r"\+12065550123"):
        phone.parse(written, "US")


@given(st.text())
def test_any_text_is_a_recipient_or_refused(written: str) -> None:
    try:
        read = phone.parse(written, "US")
    except phone.InvalidNumber:
        return
    assert read == phone.parse(read, "US")


@pytest.mark.parametrize("written", ["ACME", "Acme Corp", "A-1", "28444", "+12065550123"])
def test_a_sender_may_be_a_number_a_short_code_or_a_name(written: str) -> None:
    assert written == phone.sender(written, "US")


@pytest.mark.parametrize("written", ["", "ACME Corporation", "___", "É"])
def test_a_sender_that_carriers_do_not_show_is_refused(written: str) -> None:
    with pytest.raises(phone.InvalidNumber):
        phone.sender(written, "US")


def test_a_masked_number_shows_its_last_two_digits() -> None:
    shown = "**********23"

    assert shown == phone.masked("+12065550123")
    assert phone.masked(None) is None
