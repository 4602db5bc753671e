"""Files that carriers fetch are looked at before, after the 202: by type and length."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import Response, StreamingResponse

from receiver.http import looks
from tests.support import receiver
from tests.support.carrier import running
from tests.support.media import PNG, THEM, US, Home
from tests.support.receiver import Receiver
from tests.support.wire import Sent, Wire

HERE = ["127.0.0.0/8"]
SUCCESS = {"status": "success", "tracking-id": "MMSMT1", "to": THEM[1:]}


async def chunks() -> AsyncIterator[bytes]:
    yield PNG


def chunked(_: Sent) -> Response:
    return StreamingResponse(chunks(), media_type="image/png")


def octets(sent: Sent) -> Response:
    return Response(PNG if sent.method == "GET" else b"", headers={"content-length": str(len(PNG))})


def picture(sent: Sent) -> Response:
    headers = {"content-length": str(len(PNG)), "content-type": "image/png"}
    return Response(PNG if sent.method == "GET" else b"", headers=headers)


def ranged(sent: Sent) -> Response:
    """A server that tells nothing by HEAD, and keeps to ranges."""
    if sent.method == "HEAD":
        return Response(status_code=405)
    first = PNG[:1024]
    return Response(first, 206, {"content-range": f"bytes 0-1023/{len(PNG)}"}, "image/png")


class Server(Wire):
    """A carrier, and the server of files beside it; *files* are by their paths."""

    def __init__(self) -> None:
        super().__init__(self._all)
        self.files: dict[str, Callable[[Sent], Response | Awaitable[Response]]] = {}

    def _all(self, sent: Sent) -> Any:
        if sent.path.startswith("/ep/") or sent.path.startswith("/v2/"):
            return SUCCESS
        serve = self.files.get(sent.path)
        return serve(sent) if serve else Response(status_code=404)

    @property
    def calls(self) -> list[Sent]:
        return [sent for sent in self.sent if sent.path.startswith(("/ep/", "/v2/"))]

    @property
    def asked(self) -> list[str]:
        return [sent.method for sent in self.sent if not sent.path.startswith(("/ep/", "/v2/"))]


class Place:
    def __init__(self, home: Home, server: Server, url: str) -> None:
        self.home, self.server, self.url = home, server, url

    async def sent(self, path: str, *statuses: str, channel: str = "refuse", **file: str) -> dict[str, Any]:
        """The message with the file at *path*, once it has one of *statuses*."""
        message = await self.home.send(channel, {"url": f"{self.url}{path}", **file})
        async with self.home.sending():
            return await self.home.until(message["id"], *statuses)


@pytest.fixture
async def place(database_url: str, tmp_path: Path) -> AsyncIterator[Place]:
    server = Server()
    async with running(server) as url:
        channels = {
            how: {
                "provider": "sinch_mms", "tokens": ["a-token-of-tests"], "from": [US], "api_key": "k",
                "base_url": f"{url}/ep/v2/", "media_check": how,
            }
            for how in ("refuse", "warn", "off")
        }  # fmt: skip
        channels["voicetel"] = {
            "provider": "voicetel", "tokens": ["a-token-of-tests"], "from": [US], "api_key": "k",
            "base_url": url,
        }  # fmt: skip
        del channels["refuse"]["media_check"]  # it is the default
        async with receiver.running(
            database_url, channels, data_dir=str(tmp_path), private_networks=HERE
        ) as found:
            home = Home(**{name: getattr(found, name) for name in Receiver.__dataclass_fields__})
            yield Place(home, server, url)


def slide(place: Place) -> dict[str, Any]:
    [call] = place.server.calls
    [made] = call.json["slide"]
    shown: dict[str, Any] = made
    return shown


@pytest.mark.parametrize(("serve", "asked"), [(picture, ["HEAD"]), (ranged, ["HEAD", "GET"])])
@pytest.mark.parametrize("path", ["/image?id=5", "/3f1c9a", "/a.bin"])
async def test_a_file_of_no_known_type_has_that_of_its_server(
    place: Place, path: str, serve: Callable[[Sent], Response], asked: list[str]
) -> None:
    place.server.files[path.partition("?")[0]] = serve
    await place.sent(path, "queued")

    assert {"image": {"url": f"{place.url}{path}"}} == slide(place)
    assert asked == place.server.asked
    ranges = {sent.headers.get("range") for sent in place.server.sent if sent.method == "GET"}
    assert {"bytes=0-1023"} >= ranges


async def test_the_caller_may_say_the_type(place: Place) -> None:
    message = await place.sent("/3f1c9a", "queued", channel="off", content_type="Video/MP4")

    assert {"video": {"url": f"{place.url}/3f1c9a"}} == slide(place)
    assert ([], "video/mp4") == (place.server.asked, message["media"][0]["content_type"])


@pytest.mark.parametrize(
    ("serve", "why"),
    [(chunked, "chunked or without Content-Length"), (octets, "served as of no type")],
)
@pytest.mark.parametrize("path", ["/3f1c9a", "/a.png"])
async def test_what_the_carriers_page_says_will_fail_is_refused_with_the_reason(
    place: Place, path: str, serve: Callable[[Sent], Response], why: str
) -> None:
    place.server.files[path] = serve
    message = await place.sent(path, "rejected")

    assert "media_error" == message["error"]["class"]
    assert why in message["error"]["message"]
    assert [] == place.server.calls


async def test_application_octet_stream_is_refused(place: Place) -> None:
    place.server.files["/a.png"] = lambda _: Response(PNG, media_type="application/octet-stream")
    message = await place.sent("/a.png", "rejected")

    assert "application/octet-stream" in message["error"]["message"]


@pytest.mark.parametrize("channel", ["refuse", "voicetel"])
async def test_a_file_that_its_server_does_not_have_is_refused(place: Place, channel: str) -> None:
    message = await place.sent("/a.png", "rejected", channel=channel)

    assert "not publicly accessible" in message["error"]["message"]
    assert [] == place.server.calls


@pytest.mark.parametrize("path", ["/a.png", "/3f1c9a"])
async def test_a_channel_may_be_warned_only_and_sends_all_the_same(place: Place, path: str) -> None:
    place.server.files[path] = chunked
    message = await place.sent(path, "queued", channel="warn")

    [warning] = [event for event in message["timeline"] if event["type"] == "message.warning"]
    assert {"image": {"url": f"{place.url}{path}"}} == slide(place)
    assert (None, False, "sender") == (warning["status"], warning["effective"], warning["source"])
    assert "file 1 comes chunked" in warning["provider_message"]


async def test_a_file_whose_type_nobody_says_is_refused_whatever_the_channel_wants(place: Place) -> None:
    place.server.files["/3f1c9a"] = octets
    warned = await place.sent("/3f1c9a", "rejected", channel="warn")
    unseen = await place.home.post(
        "/v1/messages", json={"channel": "off", "to": THEM, "media": [{"url": f"{place.url}/3f1c9a"}]}
    )

    assert "of which type" in warned["error"]["message"]
    assert (422, "/media/0/url") == (unseen.status_code, unseen.json()["errors"][0]["pointer"])
    assert [] == place.server.calls


async def test_a_channel_may_leave_it(place: Place) -> None:
    place.server.files["/a.png"] = chunked
    message = await place.sent("/a.png", "queued", channel="off")

    assert ([], 1) == (place.server.asked, len(place.server.calls))
    assert not [event for event in message["timeline"] if event["type"] == "message.warning"]


async def test_a_server_that_hangs_keeps_no_file_of_a_known_type(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looks, "LOOK_DEADLINE", 0.2)
    released = asyncio.Event()

    async def hang(_: Sent) -> Response:
        await released.wait()
        return Response()

    place.server.files |= {"/a.png": hang, "/3f1c9a": hang}
    known = await place.sent("/a.png", "queued")
    unknown = await place.sent("/3f1c9a", "rejected")
    released.set()

    assert "queued" == known["status"]
    assert "did not answer" in unknown["error"]["message"]


async def test_a_private_address_is_not_asked(database_url: str, place: Place) -> None:
    place.server.files["/a.png"] = lambda _: Response(
        status_code=302, headers={"location": "https://10.0.0.5/a.png"}
    )
    message = await place.sent("/a.png", "rejected")

    assert "not a public address" in message["error"]["message"]


@pytest.mark.parametrize("word", ["image", "image/", "image/png; a=b", "x" * 100 + "/" + "y" * 100])
async def test_a_type_that_is_none_is_refused(place: Place, word: str) -> None:
    answer = await place.home.post(
        "/v1/messages",
        json={"channel": "off", "to": THEM, "media": [{"url": f"{place.url}/a", "content_type": word}]},
    )

    assert (422, "/media/0/content_type") == (answer.status_code, answer.json()["errors"][0]["pointer"])
