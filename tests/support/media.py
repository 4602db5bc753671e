"""A receiver with files: uploads, callbacks that bring some, and a carrier that takes some."""

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from receiver.channel_checks import providers_of
from sender import loop
from tests.support import carrier, receiver
from tests.support.patience import PATIENCE
from tests.support.receiver import Receiver

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4
JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + bytes(50)
US, THEM = "+18885551234", "+12065550123"


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
        async with asyncio.timeout(PATIENCE):
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
                "provider": "swift", "tokens": ["a-token-of-tests"], "from": [US], "api_key": "k",
                "sms_url": f"{carrier_url}/v1/sms", "mms_url": f"{carrier_url}/v1/mms",
            },
            "sinch": {
                "provider": "sinch_mms", "tokens": ["a-token-of-tests"], "from": [US],
                "api_key": "k", "base_url": f"{carrier_url}/x/",
            },
            "sinch-away": {
                "provider": "sinch_mms", "tokens": ["a-token-of-tests"], "from": [US], "api_key": "k",
            },
        }  # fmt: skip
        async with receiver.running(database_url, channels, data_dir=str(data_dir), **more) as found:
            made = Home(**{name: getattr(found, name) for name in Receiver.__dataclass_fields__})
            made.swift, made.carrier_url = swift, carrier_url
            yield made


def inbound_mms(content: bytes, content_type: str, name: str = "photo.png") -> bytes:
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


async def received(here: Home) -> dict[str, Any]:
    [row] = await here.rows("SELECT id FROM postback.message WHERE direction = 'inbound'")
    return await here.message(str(row["id"]))
