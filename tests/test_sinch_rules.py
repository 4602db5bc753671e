"""The layout of a send on the slides of a Sinch MMS, and what the practice carrier says to it."""

import json
from uuid import UUID

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from models.sends import OutgoingMedia, Submission
from receiver.config import ChannelSettings
from receiver.providers.sinch_mms import SinchMms
from receiver.providers.sinch_mms_slides import slides
from simulator import sinch_mms_rules

CHANNEL = ChannelSettings(name="practice", provider="sinch_mms", service_id="5210")
MEDIA = {"image", "audio", "video", "contact", "calendar", "pdf"}
EXTENSIONS = {
    "jpg": "image",
    "png": "image",
    "mp3": "audio",
    "mp4": "video",
    "vcf": "contact",
    "ics": "calendar",
}
EXTENSIONS |= {"pdf": "pdf"}

files = st.builds(
    lambda number, extension: OutgoingMedia(f"https://media.example.com/{number}.{extension}"),
    st.integers(0, 99),
    st.sampled_from(sorted(EXTENSIONS)),
)
texts = st.one_of(st.none(), st.text(min_size=1, max_size=20))


def urls_on(laid: list[dict[str, object]]) -> list[str]:
    return [str(part["url"]) for slide in laid for part in slide.values() if isinstance(part, dict)]


@given(texts, st.lists(files, max_size=20))
def test_slides_lose_nothing_and_keep_the_order(said: str | None, media: list[OutgoingMedia]) -> None:
    laid = slides(said, media)

    assert [file.url for file in media] == urls_on(laid)
    assert ([said] if said else []) == [
        slide["message-text"] for slide in laid[:1] if "message-text" in slide
    ]
    assert not any("message-text" in slide for slide in laid[1:])


@given(texts, st.lists(files, max_size=20))
def test_only_a_picture_and_a_sound_share_a_slide(said: str | None, media: list[OutgoingMedia]) -> None:
    for slide in slides(said, media):
        kinds = MEDIA & slide.keys()

        assert slide
        assert len(kinds) <= 1 or kinds == {"image", "audio"}


def fewest(kinds: list[str]) -> int:
    """The fewest slides for *kinds* in this order, by trying every way."""
    if not kinds:
        return 0
    paired = 1 + fewest(kinds[2:]) if set(kinds[:2]) == {"image", "audio"} else len(kinds)
    return min(paired, 1 + fewest(kinds[1:]))


@given(st.lists(files, max_size=12))
def test_no_other_layout_in_this_order_needs_fewer_slides(media: list[OutgoingMedia]) -> None:
    kinds = [EXTENSIONS[file.url.rpartition(".")[2]] for file in media]

    assert fewest(kinds) == len(slides(None, media))


@settings(max_examples=200)
@given(
    said=texts,
    subject=st.one_of(st.none(), st.text(max_size=82)),
    fallback=texts,
    media=st.lists(files, max_size=10),
    template=st.one_of(st.none(), st.just("35674")),
    options=st.dictionaries(
        st.sampled_from(
            ["cache-content", "disable-fallback-sms", "disable-fallback-sms-link", "to-displayonly"]
        ),
        st.one_of(st.booleans(), st.just("+12065550124,12065550125"), st.just(["12065550124"])),
    ),
)
def test_the_practice_carrier_accepts_every_send_that_passes_the_check(
    said: str | None,
    subject: str | None,
    fallback: str | None,
    media: list[OutgoingMedia],
    template: str | None,
    options: dict[str, object],
) -> None:
    submission = Submission(
        id=UUID("01920000-0000-7000-8000-00000000c0de"),
        action="send",
        sender="+18885551234",
        recipient="+12065550123",
        text=None if template else said,
        subject=subject,
        media=() if template else media,
        fallback_text=fallback,
        provider_template_id=template,
        options=options,
    )
    provider = SinchMms()
    assume(not provider.check(submission, CHANNEL))
    call = provider.call(submission, CHANNEL)

    sinch_mms_rules.check(json.loads(call.body), service_id="5210")
