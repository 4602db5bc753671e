"""Which channel a send takes, and what is said where that is open."""

import pytest

from receiver import routing
from receiver.config import ChannelSettings
from receiver.our_numbers import OurNumbers
from receiver.problems import Problem
from receiver.providers import PROVIDERS
from receiver.providers.sinch_sms import SinchSms

US, AU, AU_OTHER = (
    ChannelSettings.model_validate({"name": name, "provider": provider, "from": [number]})
    for name, provider, number in [
        ("us", "sinch_mms", "+12065550100"),
        ("au", "sinch_mms", "+61480000001"),
        ("au-other", "sinch_mms", "+61480000002"),
    ]
)


class Texts(SinchSms):
    """A carrier that takes no media."""

    name, kinds = "texts", frozenset({"sms"})


def chosen(*channels: ChannelSettings, **asked: str | None) -> str:
    criteria = routing.Criteria(**{"kind": "mms", **asked})  # type: ignore[arg-type]
    named = {c.name: c for c in channels}
    providers = {**PROVIDERS, "texts": Texts()}
    return routing.choose(named, providers, OurNumbers(named, providers), criteria).name


def test_the_only_channel_is_taken() -> None:
    assert "us" == chosen(US)


def test_a_channel_is_taken_by_its_name_before_all_else() -> None:
    assert "au" == chosen(US, AU, name="au", sender="+12065550100", recipient="+12065550123")


def test_a_channel_is_taken_by_its_number() -> None:
    assert "au-other" == chosen(US, AU, AU_OTHER, sender="+61480000002", recipient="+12065550123")


def test_a_number_leaves_through_no_channel_that_does_not_list_it_unless_that_is_named() -> None:
    texts = ChannelSettings.model_validate({"name": "texts", "provider": "texts", "from": ["+61480000003"]})

    with pytest.raises(Problem) as caught:
        chosen(US, texts, sender="+61480000003", kind="mms")

    assert ("channel_cannot", "/from") == (caught.value.code, caught.value.errors[0].pointer)
    assert "us" == chosen(US, texts, sender="+61480000004", kind="mms")
    assert "us" == chosen(US, texts, sender="+61480000003", kind="mms", name="us")


def test_all_ways_in_which_a_number_is_written_are_one() -> None:
    mexico = ChannelSettings.model_validate(
        {"name": "mx", "provider": "sinch_mms", "from": ["+52 55 1234 5678"]}
    )

    assert "mx" == chosen(US, mexico, sender="+5215512345678", recipient="+12065550123")


def test_a_channel_is_taken_by_the_region_of_the_recipient() -> None:
    assert "au" == chosen(US, AU, recipient="+61400000000")
    assert "us" == chosen(US, AU, recipient="+12065550123")


def test_a_channel_may_name_its_region() -> None:
    bare = ChannelSettings.model_validate({"name": "uk", "provider": "sinch_mms", "default_region": "GB"})

    assert "uk" == chosen(US, bare, recipient="+447700900123")


@pytest.mark.parametrize("recipient", ["+61400000000", "+447700900123", None])
def test_an_open_choice_lists_the_candidates(recipient: str | None) -> None:
    with pytest.raises(Problem) as caught:
        chosen(AU, AU_OTHER, recipient=recipient)

    assert ("ambiguous_channel", "/channel") == (caught.value.code, caught.value.errors[0].pointer)
    assert "au, au-other" in caught.value.detail


def test_an_unknown_channel_is_told_which_there_are() -> None:
    with pytest.raises(Problem) as caught:
        chosen(US, AU, name="nz")

    assert "unknown_channel" == caught.value.code
    assert "au, us" in caught.value.detail


def test_without_a_channel_that_can_it_says_so() -> None:
    with pytest.raises(Problem) as caught:
        chosen(recipient="+12065550123")

    assert "channel_cannot" == caught.value.code
