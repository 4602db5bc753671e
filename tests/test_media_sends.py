"""Files that go out: by our address, by somebody else's, or inside the call."""

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest
from starlette.responses import Response

from receiver import auth
from tests.support.media import JPEG, PNG, THEM, Home, home
from tests.support.patience import PATIENCE


@pytest.fixture
async def here(database_url: str, tmp_path: Path) -> AsyncIterator[Home]:
    async with home(database_url, tmp_path) as found:
        yield found


async def test_a_carrier_that_fetches_gets_our_address(here: Home) -> None:
    uploaded = await here.upload(PNG)

    message = await here.send("sinch", {"id": uploaded["id"]}, {"url": "https://example.com/b.jpg"})

    [ours, theirs] = message["media"]
    assert uploaded | {"state": "stored"} == ours
    assert ("https://example.com/b.jpg", "image/jpeg", None) == (
        theirs["url"], theirs["content_type"], theirs["size"],
    )  # fmt: skip


async def test_the_address_of_a_file_is_public_where_one_is_configured(
    database_url: str, tmp_path: Path
) -> None:
    async with home(database_url, tmp_path, public_url="https://sms.example.com/") as here:
        uploaded = await here.upload(PNG)
        message = await here.send("sinch-away", {"id": uploaded["id"]})

        assert uploaded["url"].startswith(f"https://sms.example.com/media/{uploaded['id']}/")
        assert uploaded["url"] == message["media"][0]["url"]


async def test_without_a_public_url_no_carrier_out_there_is_given_an_upload(here: Home) -> None:
    uploaded = await here.upload(PNG)
    answer = await here.post(
        "/v1/messages", json={"channel": "sinch-away", "to": THEM, "media": [{"id": uploaded["id"]}]}
    )

    assert (422, "media_error") == (answer.status_code, answer.json()["code"])
    assert "/media/0/id" == answer.json()["errors"][0]["pointer"]
    assert "set public_url" in answer.json()["detail"]


async def test_a_file_that_nobody_uploaded_cannot_be_sent(here: Home) -> None:
    files = [{"url": "https://example.com/a.png"}, {"id": str(uuid4())}]
    answer = await here.post("/v1/messages", json={"channel": "sinch", "to": THEM, "media": files})

    assert (422, "media_error") == (answer.status_code, answer.json()["code"])
    assert "/media/1/id" == answer.json()["errors"][0]["pointer"]


async def test_a_key_that_is_bound_to_channels_sends_its_own_uploads_only(here: Home) -> None:
    bound = await auth.create_key(
        here.app._engine, here.app._secrets, name="bound", scopes=["send"], channels=["sinch"]
    )
    theirs = (await here.upload(PNG))["id"]
    own = (await here.post("/v1/media", key=bound, content=PNG)).json()["id"]

    answers = [
        await here.post(
            "/v1/messages", key=bound, json={"channel": "sinch", "to": THEM, "media": [{"id": file_id}]}
        )
        for file_id in (theirs, own)
    ]

    assert [422, 202] == [answer.status_code for answer in answers]


async def test_a_carrier_that_takes_files_gets_the_upload_itself(here: Home) -> None:
    uploaded = await here.upload(PNG)
    sent = await here.send("swift", {"id": uploaded["id"]})

    async with here.sending():
        await here.until(sent["id"], "queued")

    [call] = here.swift.calls
    [file] = call["media"]
    assert ("BLOB", "image/png", PNG) == (file["type"], file["content_type"], base64.b64decode(file["blob"]))
    assert uploaded | {"state": "stored"} == sent["media"][0]


async def test_a_file_by_address_is_fetched_for_a_carrier_that_takes_files(
    database_url: str, tmp_path: Path
) -> None:
    async with home(database_url, tmp_path, private_networks=["127.0.0.0/8"]) as here:
        here.swift.files["a.bin"] = Response(JPEG, media_type="image/png")
        sent = await here.send("swift", {"url": f"{here.carrier_url}/files/a.bin"})

        async with here.sending():
            await here.until(sent["id"], "queued")

        [file] = here.swift.calls[0]["media"]
        assert ("image/jpeg", JPEG) == (file["content_type"], base64.b64decode(file["blob"]))


@pytest.mark.parametrize(
    ("name", "response", "why"),
    [
        ("gone.png", Response(status_code=404), "HTTP 404"),
        ("page.png", Response("<html>", media_type="image/png"), "no type that MMS carries"),
    ],
)
async def test_a_file_that_cannot_be_used_refuses_the_send_without_a_call(
    database_url: str, tmp_path: Path, name: str, response: Response, why: str
) -> None:
    async with home(database_url, tmp_path, private_networks=["127.0.0.0/8"]) as here:
        here.swift.files[name] = response
        sent = await here.send("swift", {"url": f"{here.carrier_url}/files/{name}"})

        async with here.sending():
            message = await here.until(sent["id"], "rejected")

        assert "media_error" == message["error"]["class"]
        assert why in message["error"]["message"]
        assert [] == here.swift.calls


async def test_a_file_on_a_network_that_nobody_named_is_not_asked_for(here: Home) -> None:
    sent = await here.send("swift", {"url": f"{here.carrier_url}/files/a.png"})

    async with here.sending():
        message = await here.until(sent["id"], "rejected")

    assert "media_error" == message["error"]["class"]
    assert ([], []) == (here.swift.asked, here.swift.calls)


async def test_a_file_whose_server_is_away_is_tried_again(
    database_url: str, tmp_path: Path, free_port: int
) -> None:
    async with home(database_url, tmp_path, private_networks=["127.0.0.0/8"]) as here:
        sent = await here.send("swift", {"url": f"http://127.0.0.1:{free_port}/a.png"})

        async with here.sending(), asyncio.timeout(PATIENCE):
            while True:
                [row] = await here.rows("SELECT state, attempts FROM postback.outbox")
                if ("queued", 1) == tuple(row):
                    break
                await asyncio.sleep(0.02)

        assert "accepted" == (await here.message(sent["id"]))["status"]
        assert [] == here.swift.calls


async def test_an_upload_that_the_disk_has_lost_refuses_the_send(here: Home) -> None:
    sent = await here.send("swift", {"id": (await here.upload(PNG))["id"]})
    here.path(PNG).unlink()

    async with here.sending():
        message = await here.until(sent["id"], "rejected")

    assert "media_error" == message["error"]["class"]
    assert 404 == (await here.client.get(here.at(sent["media"][0]["url"]))).status_code
