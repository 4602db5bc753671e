"""Uploads: known by their bytes, refused or kept, and served to whoever has the address."""

import hashlib
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from receiver import auth, media
from receiver.api import ranges
from receiver.media import Links
from receiver.secrets import Secrets
from tests.support.media import JPEG, PNG, Home, home

KNOWN_SIGNATURE = "0" * 64


def _box(brand: bytes, *compatible: bytes) -> bytes:
    body = b"ftyp" + brand + bytes(4) + b"".join(compatible)
    return (len(body) + 4).to_bytes(4, "big") + body + bytes(20)


SAMPLES = [
    (JPEG, None, "image/jpeg"),
    (PNG, "image/jpeg", "image/png"),
    (b"GIF89a" + bytes(20), None, "image/gif"),
    (b"RIFF\x20\0\0\0WEBPVP8 ", None, "image/webp"),
    (_box(b"heic"), None, "image/heic"),
    (_box(b"mif1", b"heic"), None, "image/heic"),
    (_box(b"isom"), None, "video/mp4"),
    (_box(b"isom"), "audio/x-m4a", "audio/mp4"),
    (_box(b"M4A "), None, "audio/mp4"),
    (_box(b"3gp5"), "video/mp4", "video/3gpp"),
    (b"ID3\x04" + bytes(20), None, "audio/mpeg"),
    (b"\xff\xfb\x90\x64" + bytes(20), None, "audio/mpeg"),
    (b"#!AMR\n" + bytes(20), None, "audio/amr"),
    (b"RIFF\x20\0\0\0WAVEfmt ", None, "audio/wav"),
    (b"BEGIN:VCARD\r\nFN:A\r\nEND:VCARD\r\n", "text/x-vcard", "text/vcard"),
    (b"\xef\xbb\xbfbegin:vcalendar\r\n", "text/plain", "text/calendar"),
    (b"%PDF-1.7\n", None, "application/pdf"),
    ("Grüße <3".encode(), "text/plain; charset=utf-8", "text/plain"),
]
STRANGERS = [
    (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml"),
    (b"<?xml version='1.0'?><svg/>", "image/png"),
    (b"  <svg/>", "text/plain"),
    (b"<!DOCTYPE html><script>1</script>", "text/html"),
    (b"<html>", None),
    (b"\xef\xbb\xbf\n<!-- --><script>", "text/plain"),
    (b"alert(1)", "text/javascript"),
    (b"{}", "application/json"),
    (b"", "text/plain"),
    (b"\0\1\2\3", None),
    (b"MZ\x90\0" + bytes(60), "image/png"),
    (b"PK\3\4" + bytes(60), "application/zip"),
    ("text".encode("utf-16"), "text/plain"),
    (_box(b"qt  "), "video/quicktime"),
    (_box(b"mif1", b"avif"), "image/heic"),
    (b"RIFF\x20\0\0\0AVI LIST", "video/x-msvideo"),
    (b"\xff\xf1\x50\x80" + bytes(20), "audio/aac"),
]


@pytest.mark.parametrize(("content", "claimed", "content_type"), SAMPLES)
def test_a_file_is_what_its_bytes_are(content: bytes, claimed: str | None, content_type: str) -> None:
    assert content_type == media.type_of(content, claimed)


@pytest.mark.parametrize(("content", "claimed"), STRANGERS)
def test_what_is_not_of_the_mms_set_has_no_type(content: bytes, claimed: str | None) -> None:
    assert media.type_of(content, claimed) is None


def test_every_type_of_the_set_has_a_sample() -> None:
    assert set(media.CONTENT_TYPES) == {content_type for *_, content_type in SAMPLES}


@pytest.fixture
async def here(database_url: str, tmp_path: Path) -> AsyncIterator[Home]:
    async with home(database_url, tmp_path) as found:
        yield found


async def test_an_upload_is_served_to_whoever_has_its_address(here: Home) -> None:
    uploaded = await here.upload(PNG, "image/png")

    answer = await here.client.get(here.at(uploaded["url"]))
    head = await here.client.head(here.at(uploaded["url"]))

    assert ("image/png", len(PNG)) == (uploaded["content_type"], uploaded["size"])
    assert uploaded["url"].startswith(f"/media/{uploaded['id']}/")
    assert uploaded["url"].endswith("/file.png")
    assert (200, PNG) == (answer.status_code, answer.content)
    assert (200, b"") == (head.status_code, head.content)
    for headers in (answer.headers, head.headers):
        assert "image/png" == headers["content-type"]
        assert str(len(PNG)) == headers["content-length"]
        assert "nosniff" == headers["x-content-type-options"]
        assert "sandbox" == headers["content-security-policy"]
        assert 'inline; filename="file.png"' == headers["content-disposition"]
        assert "private, max-age=86400, immutable" == headers["cache-control"]
        assert "transfer-encoding" not in headers
        assert "content-encoding" not in headers


async def test_a_form_uploads_its_one_file(here: Home) -> None:
    answer = await here.post(
        "/v1/media",
        files={"file": ("../../Müller photo.JPEG", JPEG, "image/png")},
        data={"note": "ignored"},
    )

    assert 201 == answer.status_code
    assert "image/jpeg" == answer.json()["content_type"]
    assert answer.json()["url"].endswith("/M-ller-photo.jpg")
    assert answer.headers["location"] == answer.json()["url"]
    assert JPEG == (await here.client.get(here.at(answer.json()["url"]))).content


async def test_what_a_browser_would_hand_on_is_only_ever_saved(here: Home) -> None:
    for content, content_type in (
        (b"BEGIN:VCARD\r\n", "text/vcard"),
        (b"%PDF-1.7", "application/pdf"),
        (b"hello", "text/plain; charset=utf-8"),
    ):
        answer = await here.client.get(here.at((await here.upload(content))["url"]))

        assert content_type == answer.headers["content-type"]
        assert answer.headers["content-disposition"].startswith("attachment;")


async def test_a_part_of_a_file_can_be_had(here: Home) -> None:
    uploaded = await here.upload(PNG)
    size = len(PNG)

    for asked, status, content, content_range in (
        ("bytes=0-9", 206, PNG[:10], f"bytes 0-9/{size}"),
        ("bytes=1000-", 206, PNG[1000:], f"bytes 1000-{size - 1}/{size}"),
        ("bytes=-5", 206, PNG[-5:], f"bytes {size - 5}-{size - 1}/{size}"),
        (f"bytes={size}-", 416, b"", f"bytes */{size}"),
    ):
        answer = await here.client.get(here.at(uploaded["url"]), headers={"range": asked})

        assert (status, content) == (answer.status_code, answer.content)
        assert content_range == answer.headers["content-range"]
        assert str(len(content)) == answer.headers["content-length"]


async def test_a_file_that_the_asker_has_is_not_sent_again(here: Home) -> None:
    url = (await here.upload(PNG))["url"]
    etag = (await here.client.get(here.at(url))).headers["etag"]

    answer = await here.client.get(here.at(url), headers={"if-none-match": etag})

    assert (304, b"") == (answer.status_code, answer.content)


async def test_an_address_that_we_did_not_make_names_nothing(here: Home) -> None:
    uploaded = await here.upload(PNG)
    _, _, file_id, signature, name = uploaded["url"].removeprefix(here.url).split("/")
    other = await here.upload(JPEG)
    flipped = ("1" if signature[0] == "0" else "0") + signature[1:]

    for path in (
        f"/media/{file_id}/{flipped}/{name}",
        f"/media/{file_id}/{signature.upper()}x/{name}",
        f"/media/{file_id}/{signature} /{name}",
        f"/media/{file_id}/{signature}/other.png",
        f"/media/{other['id']}/{signature}/{name}",
        f"/media/{uuid4()}/{KNOWN_SIGNATURE}/{name}",
        f"/media/{file_id}/{signature}/",
        f"/media/{file_id}/{signature}/..%2f..%2fsecret_key",
        f"/media/{file_id}/%ff/{name}",
        f"/media/x/{signature}/{name}",
    ):
        assert 404 == (await here.client.get(f"{here.url}{path}")).status_code, path
    unsigned = Links(Secrets(["another key of the tests"]), "", 7).to(uuid4(), "a.png", here.url)
    assert 404 == (await here.client.get(here.at(unsigned))).status_code


async def test_an_old_secret_key_goes_on_opening_what_it_signed(database_url: str, tmp_path: Path) -> None:
    async with home(database_url, tmp_path, secret_key=["the old key of the tests"]) as before:
        url = (await before.upload(PNG))["url"]
        path = url.removeprefix(before.url)
    async with home(
        database_url, tmp_path, secret_key=["the new key of the tests", "the old key of the tests"]
    ) as after:
        assert 200 == (await after.client.get(f"{after.url}{path}")).status_code


async def test_an_upload_of_no_mms_type_is_refused(here: Home) -> None:
    for content, claimed in STRANGERS:
        answer = await here.post("/v1/media", content=content, headers={"content-type": claimed or ""})

        assert (422, "media_error") == (answer.status_code, answer.json()["code"]), content
    assert [] == await here.rows("SELECT * FROM postback.file")
    assert not (here.settings.data_dir / "media").exists()


async def test_a_form_without_exactly_one_whole_file_is_refused(here: Home) -> None:
    form = {"content-type": "multipart/form-data; boundary=x"}
    part = b'--x\r\ncontent-disposition: form-data; name="file"%s\r\n\r\nhi\r\n'
    cases: list[tuple[dict[str, Any], str]] = [
        ({"files": [("a", ("a.png", PNG)), ("b", ("b.png", PNG))]}, "holds 2 files"),
        ({"content": PNG, "headers": {"content-type": "multipart/form-data"}}, "no boundary"),
        ({"content": PNG, "headers": form}, "cannot be read"),
        ({"content": part % b"" + b"--x--\r\n", "headers": form}, "holds no file"),
        ({"content": part % b'; filename="a.txt"', "headers": form}, "before its last boundary"),
    ]
    for options, detail in cases:
        answer = await here.post("/v1/media", **options)

        assert (422, "media_error") == (answer.status_code, answer.json()["code"])
        assert detail in answer.json()["detail"]


async def test_a_file_over_five_mebibytes_is_refused(here: Home) -> None:
    largest = PNG + bytes(media.LARGEST - len(PNG))
    as_body = await here.post("/v1/media", content=largest + b"\0")
    as_form = await here.post("/v1/media", files={"file": ("a.png", largest + b"\0")})
    fits = await here.post("/v1/media", files={"file": ("a.png", largest)})

    assert [413, 413, 201] == [as_body.status_code, as_form.status_code, fits.status_code]
    assert "content_too_large" == as_body.json()["code"] == as_form.json()["code"]


async def test_an_upload_needs_the_scope_to_send(here: Home) -> None:
    reader = await auth.create_key(here.app._engine, here.app._secrets, name="reader", scopes=["read"])

    assert 403 == (await here.post("/v1/media", key=reader, content=PNG)).status_code
    assert 401 == (await here.post("/v1/media", key="wrong", content=PNG)).status_code


async def test_files_lie_under_their_hash_for_their_owner_alone(here: Home) -> None:
    await here.upload(PNG)
    await here.upload(PNG)

    [row, again] = await here.rows("SELECT * FROM postback.file ORDER BY id")
    files = [path for path in (here.settings.data_dir / "media").rglob("*") if path.is_file()]

    assert hashlib.sha256(PNG).digest() == row["sha256"] == again["sha256"]
    assert ("tests", "image/png", "file.png") == (row["api_key"], row["content_type"], row["name"])
    assert [here.path(PNG)] == files
    assert 0o600 == stat.S_IMODE(files[0].stat().st_mode)


async def test_an_upload_that_cannot_be_written_is_asked_for_again(here: Home) -> None:
    (here.settings.data_dir / "media").write_bytes(b"in the way")

    answer = await here.post("/v1/media", content=PNG)

    assert (503, "unavailable") == (answer.status_code, answer.json()["code"])
    assert "retry-after" in answer.headers


@pytest.mark.parametrize(
    ("header", "part"),
    [
        (None, None), ("bytes=0-9", (0, 10)), ("Bytes = 5 - ", (5, 100)), ("bytes=-5", (95, 100)),
        ("bytes=-500", (0, 100)), ("bytes=90-500", (90, 100)), ("bytes=9-5", None), ("bytes=-", None),
        ("bytes=0-1,5-6", None), ("items=0-1", None), ("bytes=a-b", None), ("bytes=\u0661-", None),
    ],
)  # fmt: skip
def test_of_a_range_what_makes_sense_is_given(header: str | None, part: tuple[int, int] | None) -> None:
    assert part == ranges.asked_for(header, 100)


@pytest.mark.parametrize(("header", "size"), [("bytes=100-", 100), ("bytes=-0", 100), ("bytes=0-", 0)])
def test_what_lies_beyond_the_end_cannot_be_had(header: str, size: int) -> None:
    with pytest.raises(ranges.Unsatisfiable):
        ranges.asked_for(header, size)
