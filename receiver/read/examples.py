"""One order confirmation, as the reference shows it."""

from typing import Any

MESSAGE: dict[str, Any] = {
    "id": "019aa5b2-7c00-7000-8000-000000000001",
    "direction": "outbound",
    "origin": "api",
    "channel": "sinch-us",
    "provider": "sinch_mms",
    "kind": "mms",
    "from": "+18885551234",
    "to": "+12065550123",
    "text": "Your order is on its way.",
    "subject": None,
    "media": [
        {
            "id": "019aa5b2-7c00-7000-8000-000000000002",
            "url": "https://example.com/map.png",
            "content_type": "image/png",
            "size": None,
            "state": "pending",
        }
    ],
    "status": "delivered",
    "outcome": "success",
    "error": None,
    "conflict": False,
    "delivered_as": "mms",
    "correlation": "own_id",
    "client_reference": "order-42",
    "provider_message_ids": ["8f1c2a"],
    "conversation_id": "019aa5b2-7c00-7000-8000-000000000003",
    "in_reply_to": None,
    "segments": 1,
    "metadata": {},
    "created_at": "2026-11-21T10:00:00.000Z",
    "updated_at": "2026-11-21T10:00:04.250Z",
}

EVENT: dict[str, Any] = {
    "id": "019aa5b2-8c9a-7000-8000-000000000004",
    "cursor": "AXMAAAAAAAAADA",
    "sequence": 12,
    "version": 3,
    "type": "message.delivered",
    "message_id": MESSAGE["id"],
    "conversation_id": MESSAGE["conversation_id"],
    "channel": "sinch-us",
    "status": "delivered",
    "effective": True,
    "source": "report",
    "provider_status": "N102",
    "provider_code": None,
    "provider_message": "Message delivered",
    "client_reference": "order-42",
    "occurred_at": "2026-11-21T10:00:03.000Z",
    "received_at": "2026-11-21T10:00:04.250Z",
    "payload_id": "019aa5b2-8c9a-7000-8000-000000000005",
}

TEMPLATE: dict[str, Any] = {
    "id": "019aa5b2-7c00-7000-8000-000000000006",
    "channel": "sinch-us",
    "name": "spring-sale",
    "subject": "Spring sale",
    "text": None,
    "media": [{"url": "https://example.com/spring.png"}],
    "fallback_text": None,
    "state": "ready",
    "error": None,
    "created_at": "2026-11-21T10:00:00.000Z",
    "updated_at": "2026-11-21T10:00:09.000Z",
}

PAYLOAD: dict[str, Any] = {
    "id": EVENT["payload_id"],
    "channel": "sinch-us",
    "state": "applied",
    "reason": None,
    "method": "POST",
    "query": "",
    "headers": {"content-type": "application/json"},
    "body_base64": "e30=",
    "size": 2,
    "peer": "198.51.100.7",
    "received_at": "2026-11-21T10:00:04.250Z",
    "message_ids": [MESSAGE["id"]],
}
