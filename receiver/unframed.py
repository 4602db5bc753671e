"""Answers to HTTP/1.0, which knows no chunks: a body of unknown length ends with its connection."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle


class Unframed:
    """*app*, whose answers without a ``content-length`` go out as they are; uvicorn would send them in chunks
    to whoever asks."""

    def __init__(self, app: ASGIApp, cycle: RequestResponseCycle) -> None:
        self._app, self._cycle = app, cycle
        self._measured = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sent(message: Message) -> None:
            start = message["type"] == "http.response.start"
            await send(self._start(message) if start else self._piece(message))

        await self._app(scope, receive, sent)

    def _start(self, message: Message) -> Message:
        # "keep-alive" would promise an end of the body before that of the connection
        headers = [header for header in message.get("headers", ()) if header[0].lower() != b"connection"]
        self._measured = any(name.lower() == b"content-length" for name, _ in headers)
        if not self._measured:
            self._cycle.chunked_encoding = False
        return {**message, "headers": headers}

    def _piece(self, message: Message) -> Message:
        if not self._measured:  # uvicorn takes no more bytes than it was told of, and no fewer
            self._cycle.expected_content_length = len(message.get("body", b""))
        return message
