"""Files that come inside a callback."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.media import PNG, THEM, Home, home, inbound_mms, received


@pytest.fixture
async def here(database_url: str, tmp_path: Path) -> AsyncIterator[Home]:
    async with home(database_url, tmp_path) as found:
        yield found


async def test_a_file_inside_a_callback_is_stored_before_it_is_acknowledged(here: Home) -> None:
    for _ in range(2):  # the carrier's second try writes the same file
        answer = await here.client.post(here.hook("swift"), content=inbound_mms(PNG, "image/jpeg"))
        assert answer.is_success

    message = await received(here)
    [file] = message["media"]
    served = await here.client.get(here.at(file["url"]))

    assert "Look" == message["text"]
    assert ("stored", "image/png", len(PNG)) == (file["state"], file["content_type"], file["size"])
    assert file["url"].startswith(f"/media/{file['id']}/")
    assert (200, PNG, "image/png") == (served.status_code, served.content, served.headers["content-type"])
    assert 1 == len(await here.rows("SELECT * FROM postback.file"))
    assert ["applied", "duplicate"] == await here.states()


async def test_a_file_that_was_received_can_be_sent_on(here: Home) -> None:
    await here.client.post(here.hook("swift"), content=inbound_mms(PNG, "image/png"))
    [file] = (await received(here))["media"]

    message = await here.send("sinch", {"id": file["id"]})

    assert file == message["media"][0]


@pytest.mark.parametrize("content", [b"<svg onload='alert(1)'/>", b"\0\1\2\3"])
async def test_a_received_file_of_no_mms_type_is_kept_and_never_shown_as_a_page(
    here: Home, content: bytes
) -> None:
    await here.client.post(here.hook("swift"), content=inbound_mms(content, "image/svg+xml", "x.svg"))
    [file] = (await received(here))["media"]

    served = await here.client.get(here.at(file["url"]))

    assert ("stored", "application/octet-stream") == (file["state"], file["content_type"])
    assert (content, "application/octet-stream") == (served.content, served.headers["content-type"])
    assert 'attachment; filename="x.bin"' == served.headers["content-disposition"]
    answer = await here.post(
        "/v1/messages", json={"channel": "sinch", "to": THEM, "media": [{"id": file["id"]}]}
    )
    assert (422, "media_error") == (answer.status_code, answer.json()["code"])


async def test_a_callback_whose_file_cannot_be_written_is_not_acknowledged(here: Home) -> None:
    in_the_way = here.settings.data_dir / "media"
    in_the_way.write_bytes(b"in the way")

    refused = await here.client.post(here.hook("swift"), content=inbound_mms(PNG, "image/png"))
    in_the_way.unlink()
    again = await here.client.post(here.hook("swift"), content=inbound_mms(PNG, "image/png"))

    assert 503 == refused.status_code
    assert "retry-after" in refused.headers
    assert again.is_success
    assert "stored" == (await received(here))["media"][0]["state"]


async def test_a_file_that_still_lies_with_the_carrier_keeps_the_carriers_address(here: Home) -> None:
    body = {
        "origin": "MMS_MO", "code": "N401", "tracking-id": "T1", "to": "18885551234", "from": "12065550123",
        "content": [{"file": "https://files.example.com/1.png"}],
    }  # fmt: skip
    await here.client.post(here.hook("sinch"), json=body)

    [file] = (await received(here))["media"]

    assert ("pending", "https://files.example.com/1.png") == (file["state"], file["url"])
