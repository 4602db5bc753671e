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
    "wire_reference": "019aa5b2-7c64-7000-8000-000000000007",
    "provider_message_ids": ["8f1c2a"],
    "conversation_id": "019aa5b2-7c00-7000-8000-000000000003",
    "can_reply": None,
    "in_reply_to": None,
    "segments": 1,
    "fallback_text": None,
    "send_at": None,
    "expires_at": None,
    "options": {},
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

REPLAY: dict[str, Any] = {
    "dry_run": True,
    "states": {"applied": 1},
    "events_written": 1,
    "events_superseded": 0,
    "payloads": [
        {"id": PAYLOAD["id"], "state_before": "quarantined", "state": "applied", "reason": None},
    ],
    "messages": [
        {
            "id": MESSAGE["id"],
            "channel": "sinch-us",
            "status_before": "sent",
            "status": "delivered",
            "events_written": 1,
        }
    ],
    "next_cursor": None,
}

CONVERSATION: dict[str, Any] = {
    "id": MESSAGE["conversation_id"],
    "our_number": "+18885551234",
    "contact": "+12065550123",
    "participants": [],
    "channels": ["sinch-us"],
    "opted_out": False,
    "can_reply": {"ok": True, "reason": None},
    "unread_count": 1,
    "message_count": 7,
    "last_message": {
        "id": "019aa5b2-9000-7000-8000-000000000007",
        "direction": "inbound",
        "preview": "When are you open?",
        "status": "received",
        "at": "2026-11-21T10:05:00.000Z",
    },
    "last_inbound_at": "2026-11-21T10:05:00.000Z",
    "waiting_since": "2026-11-21T10:05:00.000Z",
    "metadata": {},
}

SUBSCRIBER: dict[str, Any] = {
    "id": "019aa5b2-7c00-7000-8000-000000000007",
    "url": "https://app.example.com/postback",
    "types": ["message.received", "message.delivered"],
    "channels": None,
    "state": "active",
    "disabled_reason": None,
    "lag": 0,
    "created_at": "2026-11-21T10:00:00.000Z",
}

DELIVERY: dict[str, Any] = {
    "id": "019aa5b2-8c9a-7000-8000-000000000008",
    "event_id": EVENT["id"],
    "subscriber_id": SUBSCRIBER["id"],
    "state": "waiting",
    "late": False,
    "attempts": [
        {"at": "2026-11-21T10:00:04.300Z", "status": 503, "ms": 41, "answer": "busy", "error": None},
    ],
    "next_at": "2026-11-21T10:00:09.300Z",
}
