"""The webhooks section of the document: what a subscriber is posted, and what its answers mean."""

from typing import Any

_HEADERS = {
    "webhook-id": ({"type": "string", "format": "uuid"}, "The event's id, the same on every try."),
    "webhook-timestamp": (
        {"type": "string", "pattern": "^[0-9]+$"},
        "When this try was made, in seconds since 1970. Refuse what is minutes old.",
    ),
    "webhook-signature": (
        {"type": "string", "pattern": "^v1,[A-Za-z0-9+/]{43}=( v1,[A-Za-z0-9+/]{43}=)*$"},
        "HMAC-SHA256 over `id.timestamp.body` (Standard Webhooks); two for a day after a rotation.",
    ),
}
_ANSWERS = {
    "2XX": "Taken. Nothing of this event is sent to this address again.",
    "410": "Nobody is here any more: the subscriber is disabled.",
    "default": "Not taken, as is no answer. It is tried again, no earlier than `Retry-After` says.",
}


def webhooks(body: dict[str, Any]) -> dict[str, Any]:
    """*body* is the schema of a notification."""
    return {
        "event": {
            "post": {
                "operationId": "event",
                "summary": "An event, posted to the address of a subscriber",
                "description": "In order within a conversation. After three failed tries a conversation goes "
                "on without the event, which is tried further, up to ten times in three days. Body and id "
                "stay as they were at the first try.",
                "tags": ["webhooks"],
                "security": [],
                "parameters": [
                    {"name": name, "in": "header", "required": True, "schema": schema, "description": said}
                    for name, (schema, said) in _HEADERS.items()
                ],
                "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
                "responses": {status: {"description": said} for status, said in _ANSWERS.items()},
            }
        }
    }
