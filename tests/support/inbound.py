"""A receiver that fetches the files of inbound messages, and the carrier's server where they lie."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from receiver import optouts, secrets
from receiver.fetching import Fetching, Pace
from receiver.media import store_of
from tests.support import carrier, receiver
from tests.support.idle import idle
from tests.support.patience import PATIENCE
from tests.support.receiver import Receiver

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4
US, THEM = "+18885551234", "+12065550123"
QUICK = Pace(look=0.02, patience=timedelta(0), places=8)


class CarrierFiles:
    """A carrier's file server. Each name has its answers in turn, the last of them for ever; a number is that
    HTTP status, None hangs."""

    def __init__(self) -> None:
        self.answers: dict[str, list[Response | bytes | int | None]] = {}
        self.asked: list[str] = []
        self.url = ""
        self.released = asyncio.Event()
        self.app = Starlette(routes=[Route("/{name}", self._file)])

    def give(self, name: str, *answers: Response | bytes | int | None) -> str:
        self.answers[name] = list(answers)
        return f"{self.url}/{name}"

    async def _file(self, request: Request) -> Response:
        name = request.path_params["name"]
        self.asked.append(name)
        answers = self.answers[name]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if answer is None:
            await self.released.wait()
            return Response(PNG)
        if isinstance(answer, Response):
            return answer
        return Response(answer) if isinstance(answer, bytes) else Response(status_code=answer)


class Home(Receiver):
    files: CarrierFiles

    async def inbound(self, *urls: str, channel: str = "sinch", **fields: Any) -> dict[str, Any]:
        """The message that a callback of Sinch's with these files became."""
        tracking_id = f"T{len(await self.payloads())}"
        body = {
            "origin": "MMS_MO", "code": "N401", "tracking-id": tracking_id,
            "to": US.strip("+"), "from": THEM.strip("+"), "content": [{"file": url} for url in urls],
            **fields,
        }  # fmt: skip
        answer = await self.client.post(self.hook(channel), json=body)
        assert 200 == answer.status_code, answer.text
        [row] = await self.rows(
            "SELECT message_id FROM postback.reference WHERE provider_message_id = $1", tracking_id
        )
        return await self.message(row["message_id"])

    async def message(self, message_id: Any) -> dict[str, Any]:
        return await self.got(f"/v1/messages/{message_id}")

    async def got(self, path: str) -> dict[str, Any]:
        answer = await self.client.get(
            f"{self.url}{path}", headers={"authorization": f"Bearer {self.key}", "host": "us.example"}
        )
        assert 200 == answer.status_code, answer.text
        found: dict[str, Any] = answer.json()
        return found

    @asynccontextmanager
    async def fetching(self, pace: Pace = QUICK) -> AsyncIterator[Fetching]:
        keys = secrets.load(self.settings)
        rules = optouts.configured(self.settings, keys)
        found = Fetching(self.settings, store_of(self.settings, keys), rules, pace)
        task = asyncio.create_task(found.run())
        try:
            yield found
        finally:
            task.cancel()
            await asyncio.wait({task})

    async def settled(self, message_id: str, within: float = PATIENCE) -> dict[str, Any]:
        """The message once none of its files is pending. Raises ``TimeoutError``."""
        async with asyncio.timeout(within):
            while True:
                message = await self.message(message_id)
                if all(file["state"] != "pending" for file in message["media"]):
                    return message
                await asyncio.sleep(0.01)

    @asynccontextmanager
    async def past(self, hanging: int, channel: str) -> AsyncIterator[dict[str, Any]]:
        """Yields a message with a file that came to *channel* once *hanging* fetches were under way, and was
        fetched beside them within 2 s of an idle clock. They hang until the block ends."""
        async with self.fetching():
            await eventually(lambda: len(self.files.asked) >= hanging)
            message = await self.inbound(self.files.give("1.png", PNG), channel=channel)
            async with idle() as clock:
                message = await self.settled(message["id"])
            assert clock.seconds < 2
            yield message
            self.files.released.set()

    async def fetched(self, *urls: str, **fields: Any) -> dict[str, Any]:
        message = await self.inbound(*urls, **fields)
        async with self.fetching():
            return await self.settled(message["id"])

    async def tries(self) -> int:
        [row] = await self.rows("SELECT attempts FROM postback.media")
        return int(row["attempts"])


async def eventually(condition: Callable[[], bool], within: float = PATIENCE) -> None:
    """Raises ``TimeoutError``."""
    async with asyncio.timeout(within):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def told(message: dict[str, Any]) -> list[str]:
    return [event["type"] for event in message["timeline"]]


@asynccontextmanager
async def home(database_url: str, data_dir: Path, **more: Any) -> AsyncIterator[Home]:
    files = CarrierFiles()
    channels = {
        name: {"provider": "sinch_mms", "tokens": ["a-token-of-tests"], "from": [US], "api_key": "k"}
        for name in ("sinch", "other", "third")
    }
    async with carrier.running(files.app) as files.url:
        options = {"private_networks": ["127.0.0.0/8"], "data_dir": str(data_dir), **more}
        async with receiver.running(database_url, channels, **options) as found:
            made = Home(**{name: getattr(found, name) for name in Receiver.__dataclass_fields__})
            made.files = files
            yield made
        files.released.set()
