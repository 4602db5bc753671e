"""Where files lie: on disk, or in an object store."""

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from receiver.config import ConfigError, Settings
from receiver.media import Place, place_of, unused
from receiver.media.bucket import Bucket
from receiver.media.disk import Disk
from tests.support import commands
from tests.support.beds import connect
from tests.support.media import JPEG, PNG, Home, home, inbound_mms, received
from tests.support.objects import S3, object_store
from tests.support.processes import ROOT


def test_what_cannot_be_written_whole_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Disk(tmp_path)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        store.put(PNG)

    assert [] == [path for path in tmp_path.rglob("*") if path.is_file()]


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

    whole = await elsewhere.client.get(elsewhere.at(uploaded["url"]))
    s3.asked.clear()
    head = await elsewhere.client.head(elsewhere.at(uploaded["url"]))
    asked = s3.asked.copy()
    part = await elsewhere.client.get(elsewhere.at(uploaded["url"]), headers={"range": "bytes=1020-1029"})

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
    refused = await elsewhere.client.post(elsewhere.hook("swift"), content=inbound_mms(PNG, "image/png"))
    upload = await elsewhere.post("/v1/media", content=PNG)
    s3.away = False
    taken = await elsewhere.client.post(elsewhere.hook("swift"), content=inbound_mms(PNG, "image/png"))
    [file] = (await received(elsewhere))["media"]
    s3.away = True
    unreadable = await elsewhere.client.get(elsewhere.at(file["url"]))

    assert [503, 503, 204, 503] == [answer.status_code for answer in (refused, upload, taken, unreadable)]
    assert [PNG] == list(s3.objects.values())


async def test_the_sweep_looks_through_the_object_store(elsewhere: Home, s3: S3) -> None:
    await elsewhere.upload(PNG)
    place = place_of(elsewhere.settings)
    await asyncio.to_thread(place.put, JPEG)
    connection = await connect(elsewhere.settings.database_url)
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
        POSTBACK_SECRET_KEY="k" * 16, POSTBACK_MEDIA_STORE="s3://files", PYTHONPATH=f"{tmp_path}:{ROOT}",
    )  # fmt: skip

    assert (1, "") == (code, output)
    assert "pip install 'postback[objects]'" in errors.splitlines()[-1]
