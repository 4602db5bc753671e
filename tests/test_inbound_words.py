"""Text and layout among the files of inbound messages: the one becomes the text, the other is left out."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import Response

from models.events import Inbound, MediaPart
from receiver import fetching, media
from tests.support.inbound import PNG, THEM, US, Home, home, told

SMIL = b"""<?xml version="1.0"?>\n<!-- made by a phone -->\n<smil><head><layout/></head></smil>"""


@pytest.fixture
async def here(database_url: str, tmp_path: Path) -> AsyncIterator[Home]:
    async with home(database_url, tmp_path) as found:
        yield found


@pytest.mark.parametrize(
    ("content", "claimed", "text"),
    [
        ("Grüße".encode(), "text/plain", "Grüße"),
        ("Grüße".encode("utf-8-sig"), None, "Grüße"),
        ("Grüße".encode("utf-16"), None, "Grüße"),
        ("Grüße".encode("utf-16"), "text/plain; charset=utf-8", "Grüße"),
        ("Grüße".encode("utf-16-be"), 'text/plain; charset="ISO-10646-UCS-2"', "Grüße"),
        ("Grüße".encode("utf-32"), "application/octet-stream", "Grüße"),
        ("Grüße".encode("latin-1"), "text/plain; charset=ISO-8859-1", "Grüße"),
        ("Grüße … €5".encode("windows-1252"), "text/plain", "Grüße … €5"),
        ("привет".encode("koi8-r"), "text/plain;charset=KOI8-R", "привет"),
        ("こんにちは".encode("shift_jis"), "text/plain; charset=Shift_JIS", "こんにちは"),
        ("Grüße".encode(), "text/plain; charset=us-ascii", "Grüße"),
        (b"hi", "text/plain; charset=rot13", "hi"),
        (b"hi", "text/plain; charset=\xff", "hi"),
        (b"one\r\ntwo\r\n\r\n", "text/plain", "one\ntwo"),
        (b"I <3 you", "text/plain", "I <3 you"),
        (b"<b>bold</b>", "text/plain", "<b>bold</b>"),
        (b"", "text/plain", ""),
        (b"<svg onload='x()'/>", "text/plain", None),
        (b"<!DOCTYPE html><p>", "text/plain", None),
        (b"BEGIN:VCARD\r\nFN:A\r\nEND:VCARD", "text/plain", None),
        (b"\0\1\2", "text/plain", None),
        (b"alert(1)", "text/javascript", None),
        (PNG, "text/plain", None),
        (b"a" * (media.words.LONGEST_TEXT + 1), "text/plain", None),
    ],
)
def test_a_text_part_says_what_its_charset_says(content: bytes, claimed: Any, text: str | None) -> None:
    claimed = claimed.decode("latin-1") if isinstance(claimed, bytes) else claimed

    assert text == media.text_in(content, claimed)


@pytest.mark.parametrize(
    ("content", "claimed", "layout"),
    [
        (SMIL, None, True),
        (SMIL, "text/plain", True),
        (b"\xef\xbb\xbf \r\n<SMIL xmlns='x'>", "image/png", True),
        (b"<!DOCTYPE smil PUBLIC 'a' 'b' [<!ENTITY x 'y'>]><smil>", None, True),
        (SMIL.decode().encode("utf-16"), None, True),
        (b"anything", "application/smil; charset=utf-8", True),
        (b"<svg><smil/></svg>", None, False),
        (b"<smile>", None, False),
        (b"<!-- a -->" * 400 + b"x", None, False),
        (b"<!-- " * 800, None, False),
        (b"<!doctype " * 400, None, False),
        (PNG, "image/png", False),
    ],
)
def test_layout_is_known_by_its_claim_or_by_its_bytes(
    content: bytes, claimed: str | None, layout: bool
) -> None:
    assert layout == media.is_layout(content, claimed)


async def test_a_text_part_becomes_the_text_and_leaves_the_list(here: Home) -> None:
    text = Response("Grüße aus Wien".encode("latin-1"), media_type="text/plain; charset=iso-8859-1")
    message = await here.fetched(here.files.give("1.txt", text), here.files.give("2.png", PNG))

    assert "Grüße aus Wien" == message["text"]
    assert ["image/png"] == [file["content_type"] for file in message["media"]]
    assert 1 == len(await here.rows("SELECT FROM postback.file"))


async def test_text_parts_stand_in_their_order_under_what_came_as_text(
    here: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However they arrive: the first one comes last here."""
    monkeypatch.setattr(fetching, "PAUSES", (0.2,) * 3)
    files = here.files
    urls = [
        files.give("1.txt", 503, b"one"),
        files.give("2.txt", b"two\n"),
        files.give("3.txt", 503, 503, b"three"),
    ]

    message = await here.fetched(*urls, text="Zero")

    assert ("Zero\none\ntwo\nthree", []) == (message["text"], message["media"])


async def test_layout_that_only_its_bytes_reveal_leaves_the_list(here: Home) -> None:
    message = await here.fetched(here.files.give("layout", SMIL), here.files.give("1.png", PNG))

    assert ["image/png"] == [file["content_type"] for file in message["media"]]
    assert message["text"] is None


async def test_stop_in_a_text_part_opts_out_from_the_moment_the_message_came(here: Home) -> None:
    headers = {"authorization": f"Bearer {here.key}"}
    answer = await here.client.post(
        f"{here.url}/v1/messages", headers=headers, json={"to": THEM, "text": "News", "channel": "sinch"}
    )
    waiting = answer.json()["data"][0]
    message = await here.inbound(here.files.give("1.txt", b"Stop!\r\n"))
    async with here.fetching():
        message = await here.settled(message["id"])
        while "contact.opted_out" not in told(message):
            message = await here.message(message["id"])

    [listed] = await here.rows("SELECT * FROM postback.opt_out")
    stopped = await here.message(waiting["id"])

    received_at = datetime.fromisoformat(message["timeline"][0]["received_at"])
    assert ["message.received", "media.stored", "contact.opted_out"] == told(message)
    assert (THEM, US, "stop", "keyword") == (
        listed["contact"], listed["our_number"], listed["word"], listed["source"],
    )  # fmt: skip
    assert abs(listed["since"] - received_at) < timedelta(milliseconds=1)
    assert ("rejected", "opted_out") == (stopped["status"], stopped["error"]["class"])


async def test_stop_in_a_text_part_is_confirmed_where_its_channel_has_words_for_it(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POSTBACK_CHANNELS__SINCH__OPT_OUT_REPLY", "Goodbye.")
    async with home(database_url, tmp_path) as here:
        stop = here.files.give("1.txt", b"STOP")
        heard = await here.fetched(stop, stop, **{"message-subject": "stop"})
        await here.fetched(stop)
        elsewhere = await here.fetched(stop, channel="other", **{"from": "12065550177"})

        page = await here.got("/v1/messages?direction=outbound")

    assert [("Goodbye.", THEM, "sinch", heard["id"], {"confirms_opt_out": "stop"})] == [
        (m["text"], m["to"], m["channel"], m["in_reply_to"], m["metadata"]) for m in page["data"]
    ]
    assert "contact.opted_out" in told(elsewhere)


async def test_a_word_that_only_may_mean_stop_marks_the_message(here: Home) -> None:
    message = await here.fetched(here.files.give("1.txt", b"please cancel my 3pm"), keyword="K")

    assert {"perhaps_opts_out": "cancel", "keyword": "K"} == message["metadata"]
    assert [] == await here.rows("SELECT FROM postback.opt_out")


def test_words_and_layout_inside_a_callback_are_unpacked_at_once() -> None:
    parts = (
        MediaPart("", "application/smil", SMIL, "a.smil"),
        MediaPart("", "text/plain; charset=iso-8859-1", "Grüße".encode("latin-1"), "a.txt"),
        MediaPart("", "image/png", PNG, "a.png"),
        MediaPart("https://files.example/b.txt", "text/plain"),
    )
    inbound = media.unpacked(Inbound("id", ("id",), text="Hello", media=parts))

    assert "Hello\nGrüße" == inbound.text
    assert ["a.png", None] == [part.name for part in inbound.media]
    assert [PNG] == list(media.contents([Inbound("id", ("id",), media=parts)]))
