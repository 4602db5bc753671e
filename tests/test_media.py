"""Files: uploaded and served, sent inside a call or by address, kept when a callback brings them."""

import asyncio
import base64
import hashlib
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import orjson
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from receiver import auth, media
from receiver.api import ranges
from receiver.app import providers_of
from receiver.config import ConfigError, Settings
from receiver.media import Links, Place, place_of, unused
from receiver.media.bucket import Bucket
from receiver.media.disk import Disk
from receiver.secrets import Secrets
from sender import loop
from tests.support import carrier, commands, receiver
from tests.support.objects import S3, object_store
from tests.support.processes import ROOT
from tests.support.receiver import Receiver

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4
JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + bytes(50)
US, THEM = "+18885551234", "+12065550123"
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


class SwiftAccount:
    """A carrier that takes files inside the call; it writes down what it was sent."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        self.files: dict[str, Response] = {}
        self.asked: list[str] = []
        self.app = Starlette(
            routes=[
                Route("/v1/mms", self._send, methods=["POST"]),
                Route("/files/{name}", self._file),
            ]
        )

    async def _send(self, request: Request) -> Response:
        body = await request.json()
        self.calls.append(body)
        result = {
            "error_code": "OK",
            "status": "NEW",
            "id": f"01JDQ{len(self.calls):021}",
            "to": body["to"][0],
        }
        return JSONResponse({"results": [result]})

    async def _file(self, request: Request) -> Response:
        name = request.path_params["name"]
        self.asked.append(name)
        return self.files.get(name, Response(status_code=404))


class Home(Receiver):
    swift: SwiftAccount
    carrier_url: str

    async def upload(self, content: bytes, content_type: str = "application/octet-stream") -> dict[str, Any]:
        answer = await self.post("/v1/media", content=content, headers={"content-type": content_type})
        assert 201 == answer.status_code, answer.text
        uploaded: dict[str, Any] = answer.json()
        return uploaded

    async def post(self, path: str, *, key: str | None = None, **options: Any) -> Any:
        headers = {"authorization": f"Bearer {key or self.key}", **options.pop("headers", {})}
        return await self.client.post(f"{self.url}{path}", headers=headers, **options)

    async def send(self, channel: str, *files: dict[str, Any], **fields: Any) -> dict[str, Any]:
        answer = await self.post(
            "/v1/messages", json={"channel": channel, "to": THEM, "media": list(files), **fields}
        )
        assert 202 == answer.status_code, answer.text
        message: dict[str, Any] = answer.json()["data"][0]
        return message

    async def message(self, message_id: str) -> dict[str, Any]:
        headers = {"authorization": f"Bearer {self.key}"}
        answer = await self.client.get(f"{self.url}/v1/messages/{message_id}", headers=headers)
        found: dict[str, Any] = answer.json()
        return found

    async def until(self, message_id: str, *statuses: str) -> dict[str, Any]:
        async with asyncio.timeout(5):
            while True:
                message = await self.message(message_id)
                if message["status"] in statuses:
                    return message
                await asyncio.sleep(0.02)

    @asynccontextmanager
    async def sending(self) -> AsyncIterator[None]:
        stop = asyncio.Event()
        sender = asyncio.create_task(loop.run(self.settings, providers_of(self.settings), stop))
        yield
        stop.set()
        await sender

    def path(self, content: bytes) -> Path:
        name = hashlib.sha256(content).hexdigest()
        return self.settings.data_dir / "media" / name[:2] / name[2:]


@asynccontextmanager
async def home(database_url: str, data_dir: Path, **more: Any) -> AsyncIterator[Home]:
    swift = SwiftAccount()
    async with carrier.running(swift.app) as carrier_url:
        channels = {
            "swift": {
                "provider": "swift", "tokens": ["t"], "from": [US], "api_key": "k",
                "sms_url": f"{carrier_url}/v1/sms", "mms_url": f"{carrier_url}/v1/mms",
            },
            "sinch": {
                "provider": "sinch_mms", "tokens": ["t"], "from": [US], "base_url": f"{carrier_url}/x/",
            },
            "sinch-away": {"provider": "sinch_mms", "tokens": ["t"], "from": [US]},
        }  # fmt: skip
        async with receiver.running(database_url, channels, data_dir=str(data_dir), **more) as found:
            made = Home(**{name: getattr(found, name) for name in Receiver.__dataclass_fields__})
            made.swift, made.carrier_url = swift, carrier_url
            yield made


@pytest.fixture
async def here(database_url: str, tmp_path: Path) -> AsyncIterator[Home]:
    async with home(database_url, tmp_path) as found:
        yield found


async def test_an_upload_is_served_to_whoever_has_its_address(here: Home) -> None:
    uploaded = await here.upload(PNG, "image/png")

    answer = await here.client.get(uploaded["url"])
    head = await here.client.head(uploaded["url"])

    assert ("image/png", len(PNG)) == (uploaded["content_type"], uploaded["size"])
    assert uploaded["url"].startswith(f"{here.url}/media/{uploaded['id']}/")
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
    assert JPEG == (await here.client.get(answer.json()["url"])).content


async def test_what_a_browser_would_hand_on_is_only_ever_saved(here: Home) -> None:
    for content, content_type in (
        (b"BEGIN:VCARD\r\n", "text/vcard"),
        (b"%PDF-1.7", "application/pdf"),
        (b"hello", "text/plain; charset=utf-8"),
    ):
        answer = await here.client.get((await here.upload(content))["url"])

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
        answer = await here.client.get(uploaded["url"], headers={"range": asked})

        assert (status, content) == (answer.status_code, answer.content)
        assert content_range == answer.headers["content-range"]
        assert str(len(content)) == answer.headers["content-length"]


async def test_a_file_that_the_asker_has_is_not_sent_again(here: Home) -> None:
    url = (await here.upload(PNG))["url"]
    etag = (await here.client.get(url)).headers["etag"]

    answer = await here.client.get(url, headers={"if-none-match": etag})

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
    unsigned = Links(Secrets(["another key"]), "").to(uuid4(), "a.png", here.url)
    assert 404 == (await here.client.get(unsigned)).status_code


async def test_an_old_secret_key_goes_on_opening_what_it_signed(database_url: str, tmp_path: Path) -> None:
    async with home(database_url, tmp_path, secret_key=["the old key"]) as before:
        url = (await before.upload(PNG))["url"]
        path = url.removeprefix(before.url)
    async with home(database_url, tmp_path, secret_key=["the new key", "the old key"]) as after:
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


def test_what_cannot_be_written_whole_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Disk(tmp_path)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        store.put(PNG)

    assert [] == [path for path in tmp_path.rglob("*") if path.is_file()]


async def test_an_upload_that_cannot_be_written_is_asked_for_again(here: Home) -> None:
    (here.settings.data_dir / "media").write_bytes(b"in the way")

    answer = await here.post("/v1/media", content=PNG)

    assert (503, "unavailable") == (answer.status_code, answer.json()["code"])
    assert "retry-after" in answer.headers


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

        async with here.sending(), asyncio.timeout(5):
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
    assert 404 == (await here.client.get(sent["media"][0]["url"])).status_code


def _inbound(content: bytes, content_type: str, name: str = "photo.png") -> bytes:
    part = {
        "headers": {"Content-Type": f'{content_type}; name="{name}"', "Content-Transfer-Encoding": "base64"},
        "body": base64.b64encode(content).decode(),
        "encoding": "base64",
    }
    said = {"headers": {"Content-Type": "text/plain"}, "body": "Look", "encoding": "identity"}
    return orjson.dumps(
        {
            "type": "mms", "id": "01JDQ0MDBE0YMVD9E96EGRCCV4", "from": "12065550123", "to": "18885551234",
            "timestamp": "2026-06-14T00:00:00.000000Z",
            "data": {"is_multipart": True, "headers": {}, "parts": [said, part]},
        }
    )  # fmt: skip


async def _received(here: Home) -> dict[str, Any]:
    [row] = await here.rows("SELECT id FROM postback.message WHERE direction = 'inbound'")
    return await here.message(str(row["id"]))


async def test_a_file_inside_a_callback_is_stored_before_it_is_acknowledged(here: Home) -> None:
    for _ in range(2):  # the carrier's second try writes the same file
        answer = await here.client.post(here.hook("swift"), content=_inbound(PNG, "image/jpeg"))
        assert answer.is_success

    message = await _received(here)
    [file] = message["media"]
    served = await here.client.get(file["url"])

    assert "Look" == message["text"]
    assert ("stored", "image/png", len(PNG)) == (file["state"], file["content_type"], file["size"])
    assert file["url"].startswith(f"{here.url}/media/{file['id']}/")
    assert (200, PNG, "image/png") == (served.status_code, served.content, served.headers["content-type"])
    assert 1 == len(await here.rows("SELECT * FROM postback.file"))
    assert ["applied", "duplicate"] == await here.states()


async def test_a_file_that_was_received_can_be_sent_on(here: Home) -> None:
    await here.client.post(here.hook("swift"), content=_inbound(PNG, "image/png"))
    [file] = (await _received(here))["media"]

    message = await here.send("sinch", {"id": file["id"]})

    assert file == message["media"][0]


@pytest.mark.parametrize("content", [b"<svg onload='alert(1)'/>", b"\0\1\2\3"])
async def test_a_received_file_of_no_mms_type_is_kept_and_never_shown_as_a_page(
    here: Home, content: bytes
) -> None:
    await here.client.post(here.hook("swift"), content=_inbound(content, "image/svg+xml", "x.svg"))
    [file] = (await _received(here))["media"]

    served = await here.client.get(file["url"])

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

    refused = await here.client.post(here.hook("swift"), content=_inbound(PNG, "image/png"))
    in_the_way.unlink()
    again = await here.client.post(here.hook("swift"), content=_inbound(PNG, "image/png"))

    assert 503 == refused.status_code
    assert "retry-after" in refused.headers
    assert again.is_success
    assert "stored" == (await _received(here))["media"][0]["state"]


async def test_a_file_that_still_lies_with_the_carrier_keeps_the_carriers_address(here: Home) -> None:
    body = {
        "origin": "MMS_MO", "code": "N401", "tracking-id": "T1", "to": "18885551234", "from": "12065550123",
        "content": [{"file": "https://files.example.com/1.png"}],
    }  # fmt: skip
    await here.client.post(here.hook("sinch"), json=body)

    [file] = (await _received(here))["media"]

    assert ("pending", "https://files.example.com/1.png") == (file["state"], file["url"])


@pytest.fixture(params=["disk", "memory://", "file://", "s3://files/a/prefix"])
async def place(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Place]:
    url = f"file://{tmp_path}/not/there/yet" if request.param == "file://" else request.param
    async with object_store(monkeypatch):
        yield Disk(tmp_path / "media") if url == "disk" else Bucket(url)


async def test_every_place_keeps_files_by_their_content(place: Place) -> None:
    def used() -> None:
        digest = place.put(PNG)

        assert hashlib.sha256(PNG).digest() == digest == place.put(PNG)
        assert PNG == place.read(digest)
        assert PNG[3:7] == place.read(digest, 3, 7)
        assert len(PNG) == place.size(digest)
        place.remove(digest)
        place.remove(digest)
        for missing in (place.size, place.read, lambda gone: place.read(gone, 0, 1)):
            with pytest.raises(FileNotFoundError):
                missing(digest)

    await asyncio.to_thread(used)


async def test_every_place_gives_up_what_is_old_and_was_not_stored_again(place: Place) -> None:
    def swept() -> None:
        now = datetime.now(UTC).timestamp()
        digest, other = place.put(PNG), place.put(JPEG)

        assert [] == [found for part in place.old(now - 60) for found in part]
        assert {digest, other} == {found for part in place.old(now + 60) for found in part}
        assert (0, 0) == place.discard([digest], now - 60)
        assert (1, len(PNG)) == place.discard([digest, bytes(32)], now + 60)
        assert [other] == [found for part in place.old(now + 60) for found in part]

    await asyncio.to_thread(swept)


@pytest.fixture
async def s3(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[S3]:
    async with object_store(monkeypatch) as found:
        yield found


@pytest.fixture
async def elsewhere(database_url: str, tmp_path: Path, s3: S3) -> AsyncIterator[Home]:
    """Its files lie in an object store."""
    async with home(database_url, tmp_path, media_store="s3://files/postback") as found:
        yield found


async def test_files_in_an_object_store_are_served_like_those_on_disk(elsewhere: Home, s3: S3) -> None:
    large = PNG + bytes(3 << 20)
    uploaded = await elsewhere.upload(large)
    digest = hashlib.sha256(large).hexdigest()

    whole = await elsewhere.client.get(uploaded["url"])
    s3.asked.clear()
    head = await elsewhere.client.head(uploaded["url"])
    asked = s3.asked.copy()
    part = await elsewhere.client.get(uploaded["url"], headers={"range": "bytes=1020-1029"})

    assert {f"postback/{digest[:2]}/{digest[2:]}"} == set(s3.objects)
    assert not (elsewhere.settings.data_dir / "media").exists()
    assert (200, large, str(len(large))) == (
        whole.status_code, whole.content, whole.headers["content-length"],
    )  # fmt: skip
    assert "transfer-encoding" not in whole.headers
    assert (200, b"", str(len(large)), "image/png") == (
        head.status_code, head.content, head.headers["content-length"], head.headers["content-type"],
    )  # fmt: skip
    assert 1 == len(asked)
    assert (206, large[1020:1030]) == (part.status_code, part.content)


async def test_the_sender_and_redaction_find_files_in_the_object_store(elsewhere: Home, s3: S3) -> None:
    uploaded = await elsewhere.upload(PNG)
    async with elsewhere.sending():
        sent = await elsewhere.send("swift", {"id": uploaded["id"]})
        await elsewhere.until(sent["id"], "queued")
    [call] = elsewhere.swift.calls

    answer = await elsewhere.post(f"/v1/messages/{sent['id']}/redact")

    assert PNG == base64.b64decode(call["media"][0]["blob"])
    assert 200 == answer.status_code
    assert {} == s3.objects


async def test_a_callback_brings_its_file_into_the_object_store_or_is_not_acknowledged(
    elsewhere: Home, s3: S3
) -> None:
    s3.away = True
    refused = await elsewhere.client.post(elsewhere.hook("swift"), content=_inbound(PNG, "image/png"))
    upload = await elsewhere.post("/v1/media", content=PNG)
    s3.away = False
    taken = await elsewhere.client.post(elsewhere.hook("swift"), content=_inbound(PNG, "image/png"))
    [file] = (await _received(elsewhere))["media"]
    s3.away = True
    unreadable = await elsewhere.client.get(file["url"])

    assert [503, 503, 204, 503] == [answer.status_code for answer in (refused, upload, taken, unreadable)]
    assert [PNG] == list(s3.objects.values())


async def test_the_sweep_looks_through_the_object_store(elsewhere: Home, s3: S3) -> None:
    await elsewhere.upload(PNG)
    place = place_of(elsewhere.settings)
    await asyncio.to_thread(place.put, JPEG)
    connection = await asyncpg.connect(elsewhere.settings.database_url)
    try:
        young = await unused.sweep(place, connection, "postback", datetime.now(UTC))
        s3.age = timedelta(days=8)
        old = await unused.sweep(place, connection, "postback", datetime.now(UTC))
    finally:
        await connection.close()

    assert [(0, 0), (1, len(JPEG))] == [(swept.files, swept.bytes) for swept in (young, old)]
    assert [PNG] == list(s3.objects.values())


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("ftp://files", "has to begin with one of s3://, gs://, az://"),
        ("files", "has to begin with one of"),
        ("s3://", "cannot be used"),
    ],
)
def test_an_object_store_that_makes_no_sense_is_refused_in_a_sentence(url: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        place_of(Settings(media_store=url))


def test_without_the_library_one_sentence_says_what_to_install(tmp_path: Path) -> None:
    """As a process without it would be."""
    (tmp_path / "obstore.py").write_text("raise ImportError", encoding="utf-8")
    code, output, errors = commands.run(
        "serve", "--port", "0", cwd=tmp_path, DATABASE_URL="postgresql://127.0.0.1:9/none",
        POSTBACK_SECRET_KEY="k", POSTBACK_MEDIA_STORE="s3://files", PYTHONPATH=f"{tmp_path}:{ROOT}",
    )  # fmt: skip

    assert (1, "") == (code, output)
    assert "pip install 'postback[objects]'" in errors.splitlines()[-1]


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
