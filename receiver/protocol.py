"""uvicorn's HTTP protocol with the two things that it lacks: a deadline for a request's headers, and a cap
on their size. (A body's deadline and cap are `receiver.webhooks`'s, which knows the channel.)"""

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

#: seconds from the first byte of a connection or request to the end of its headers
HEADERS_DEADLINE = 10.0
LARGEST_HEADERS = 64 * 1024


class BoundedProtocol(HttpToolsProtocol):
    """Closes a connection that dawdles (408) or floods (431) before a request has begun."""

    _deadline: asyncio.TimerHandle | None = None
    _unread = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        self._headers_done()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._deadline is None and (self.cycle is None or self.cycle.response_complete):
            self._await_headers()
        self._unread += len(data)
        if not self.transport.is_closing():
            super().data_received(data)
        # still no end of the headers; what came after that end is not theirs and not counted
        if self._deadline is not None and self._unread > LARGEST_HEADERS:
            self._refuse(b"431 Request Header Fields Too Large")

    def on_headers_complete(self) -> None:
        if sum(len(name) + len(value) for name, value in self.headers) + len(self.url) > LARGEST_HEADERS:
            self._refuse(b"431 Request Header Fields Too Large")
            return
        self._headers_done()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if not self.transport.is_closing():
            super().on_body(body)

    def on_message_complete(self) -> None:
        if not self.transport.is_closing():
            super().on_message_complete()

    def _await_headers(self) -> None:
        self._unread = 0
        self._deadline = self.loop.call_later(HEADERS_DEADLINE, self._refuse, b"408 Request Timeout")

    def _headers_done(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _refuse(self, status: bytes) -> None:
        self._headers_done()
        if not self.transport.is_closing():
            self.transport.write(
                b"HTTP/1.1 " + status + b"\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            )
            self.transport.close()
