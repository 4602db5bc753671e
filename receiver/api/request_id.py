"""``X-Request-Id``: the caller's own, or a new one, on every answer; and what else every answer carries."""

import re
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bound_contextvars

_ACCEPTABLE = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")


class RequestId:
    """ASGI middleware; the id is also ``scope["state"]["request_id"]``. A route that failed answers with the
    headers that it has put into ``scope["state"]["headers"]`` by then as well."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if _ACCEPTABLE.fullmatch(given) else uuid4().hex
        headers = {"X-Request-Id": request_id}
        scope.setdefault("state", {}).update(request_id=request_id, headers=headers)

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(headers)
            await send(message)

        # logged with whatever is said meanwhile; the next request of this connection starts without it
        with bound_contextvars(request_id=request_id):
            await self.app(scope, receive, send_with_id)
