"""The first five minutes in one: a message through the practice carrier, and what became of it."""

import asyncio
from typing import Any

import orjson
from sqlalchemy.ext.asyncio import AsyncEngine

from models.sends import Call
from postback import practice
from postback.start import using
from receiver import auth
from receiver.config import Settings
from receiver.http import Client
from receiver.secrets import Secrets
from receiver.serve import StartError

KEY_NAME = "demo"
#: seconds within which the practice carrier reports a delivery
PATIENCE = 20.0
RECIPIENT = "+12065550123"


async def run(settings: Settings, address: str, carrier: str) -> None:
    """Sends one MMS through the running system and prints its finished timeline, a key and the addresses."""
    key = await using(settings, _fresh_key)
    async with Client() as client:
        message = await _send(client, address, key)
        message = await _finished(client, address, key, message["id"])
    for line in _lines(message):
        print(line)
    print(f"\nAPI key           {key}")
    print(f"Address           {address} (reference: {address}/docs)")
    print(f"Callback URL      {practice.callback_url(settings.channels[practice.CHANNEL], address)}")
    print(f"Practice carrier  {carrier}")
    print(f"Practice key      {practice.key(settings.data_dir)}")
    print("Ctrl-C stops everything.", flush=True)


async def _fresh_key(engine: AsyncEngine, keys: Secrets) -> str:
    for old in await auth.list_keys(engine):
        if old.name == KEY_NAME and old.revoked_at is None:
            await auth.revoke_key(engine, old.id)
    return await auth.create_key(engine, keys, name=KEY_NAME, scopes=list(auth.Scope))


async def _send(client: Client, address: str, key: str) -> dict[str, Any]:
    body = {
        "channel": practice.CHANNEL,  # whatever else is configured: the others cost money
        "to": RECIPIENT,
        "text": "Hello from Postback",
        "subject": "Your first message",
        "media": [{"url": "https://media.example.com/hello.png"}],
        "client_reference": "order-42",
    }
    answer = await _call(client, "POST", f"{address}/v1/messages", key, orjson.dumps(body))
    message: dict[str, Any] = answer["data"][0]
    return message


async def _finished(client: Client, address: str, key: str, message_id: str) -> dict[str, Any]:
    """The message once its outcome is known, or as it stands after `PATIENCE`."""
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while True:
        message = await _call(client, "GET", f"{address}/v1/messages/{message_id}", key)
        if message["outcome"] in ("success", "failure") or asyncio.get_running_loop().time() > deadline:
            return message
        await asyncio.sleep(0.1)


async def _call(client: Client, method: str, url: str, key: str, body: bytes = b"") -> dict[str, Any]:
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    answer = await client.call(Call(method, url, headers, body))
    if answer.status >= 300:
        raise StartError(
            f"The demonstration failed: {method} {url} answered {answer.status}: {answer.body!r}"
        )
    parsed: dict[str, Any] = orjson.loads(answer.body)
    return parsed


def _lines(message: dict[str, Any]) -> list[str]:
    heading = f"{message['kind'].upper()} {message['id']} from {message['from']} to {message['to']}"
    rows = [
        f"  {event['received_at'][11:23]}  {event['type']:<22} {event['source']:<8} "
        f"{event['provider_status'] or '':<6} {event['provider_message'] or ''}".rstrip()
        for event in message["timeline"]
    ]
    ending = f"{message['status']} ({message['outcome']}), client reference {message['client_reference']}"
    return ["", heading, *rows, f"  => {ending}"]
