"""What belongs to a channel that a bound key does not hold, and every route by which it might be reached."""

from typing import Any

import httpx
from uuid_utils.compat import uuid7

from models.events import Inbound, Report
from models.status import Status
from receiver import api as routes
from tests.support.beds import connect
from tests.support.records import tell

FOREIGN, FOREIGN_NUMBER, CONTACT = "sinch-us", "+18885551234", "+12065550123"

#: a body that each route takes which has a foreign object in its path
BODIES = {
    ("post", "/v1/messages/{id}/settle"): {"status": "failed"},
    ("post", "/v1/conversations/{id}/messages"): {"text": "x"},
    ("post", "/v1/conversations/{id}/read"): {},
    ("patch", "/v1/subscribers/{id}"): {"state": "disabled"},
    ("post", "/v1/subscribers/{id}/rotate"): {},
    ("post", "/v1/subscribers/{id}/replay"): {"after": "AXMAAAAAAAAAAQ"},
}


def operations() -> list[tuple[str, str, dict[str, Any]]]:
    """Returns the method, path and description of every operation under ``/v1``."""
    return [
        (method, path, operation)
        for path, item in routes.description()["paths"].items()
        for method, operation in item.items()
        if path.startswith("/v1/")
    ]


async def objects(
    client: httpx.AsyncClient, database_url: str, owner: dict[str, str]
) -> dict[str, dict[str, str]]:
    """Makes one of everything on the channel `FOREIGN`; answers with their names, by the first word of their
    path."""
    payload = await tell(
        database_url, Report("c1", "E102", Status.REJECTED, ("c1",), client_reference="foreign-ref")
    )
    await tell(database_url, Inbound("in-1", ("in-1",), sender=CONTACT, text="Yes"))

    async def make(method: str, path: str, **body: Any) -> Any:
        answer = await client.request(method, path, headers=owner, **body)
        assert answer.is_success, answer.text
        return answer.json()

    sent = await make("POST", "/v1/messages", json={"to": CONTACT, "text": "x", "channel": FOREIGN})
    [message] = sent["data"]
    template = await make("POST", "/v1/templates", json={"channel": FOREIGN, "name": "t", "text": "Hi"})
    file = await make("POST", "/v1/media", files={"file": ("note.txt", b"Hello")})
    await make("PUT", f"/v1/opt-outs/{FOREIGN_NUMBER}/{CONTACT}")
    subscriber = await make("POST", "/v1/subscribers", json={"url": "http://127.0.0.1:9/"})
    [event, *_] = (await make("GET", "/v1/events"))["data"]
    delivery = str(uuid7())
    connection = await connect(database_url)
    await connection.execute(
        """INSERT INTO postback.delivery (id, subscriber_id, event_id, message_id, seq, replay, lane, state,
               late, tries, attempts) VALUES ($1, $2, $3, $4, 1, 0, '', 'dead', false, 1, '[]')""",
        delivery, subscriber["id"], event["id"], message["id"],
    )  # fmt: skip
    await connection.close()
    return {
        "messages": {"id": message["id"]},
        "conversations": {"id": message["conversation_id"]},
        "templates": {"id": template["id"]},
        "payloads": {"id": str(payload)},
        "media": {"id": file["id"]},
        "opt-outs": {"our_number": FOREIGN_NUMBER, "contact": CONTACT},
        "subscribers": {"id": subscriber["id"]},
        "deliveries": {"id": delivery},
    }
