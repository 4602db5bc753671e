"""uvicorn's HTTP protocol with what it lacks: a deadline for a request's headers, a cap on their size, an end
to a body that goes on after its answer, and bodies of requests that offer to upgrade. (A body's own deadline
and cap are those of whoever reads it.)"""

import asyncio

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class BoundedProtocol(HttpToolsProtocol):
    """Closes a connection that dawdles (408), floods (431) or speaks no HTTP (400) where a request should be.

    Requests that came whole before that are answered first, and then the connection is closed without a word.
    """

    #: seconds from the first byte of a connection or request to the end of its headers, and from an answer
    #: to the end of the body that it did not wait for
    deadline = 10.0
    #: seconds that a caller gets to read why he was refused: closing while he still writes resets the
    #: connection, and a reset takes the answer with it
    linger = 2.0
    #: bytes
    largest_headers = 64 * 1024

    _timer: asyncio.TimerHandle | None = None
    _unread = 0
    #: between the end of a request's headers and the end of its body
    _in_body = False
    #: whatever else comes is thrown away
    _deaf = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._relax()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._over():
            return
        if self._timer is None and not self._answering():
            self._watch()
        self._unread += len(data)
        self._unset_keepalive_if_required()
        self._feed(data)
        # still no end of the headers; what came after that end is not theirs and not counted
        if self._timer is not None and not self._in_body and self._unread > self.largest_headers:
            self._refuse(b"431 Request Header Fields Too Large")

    def on_headers_complete(self) -> None:
        if self._over():
            return
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                self._refuse(b"405 Method Not Allowed")
            return
        size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if size > self.largest_headers:
            self._refuse(b"431 Request Header Fields Too Large")
            return
        self._relax()
        self._in_body = True
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if not self._over():
            super().on_body(body)

    def on_message_complete(self) -> None:
        if self._over() or not self._in_body:
            return
        self._in_body = False
        super().on_message_complete()
        if not self._answering():
            self._relax()
            # uvicorn dropped its keep-alive time-out when the rest of the body came, and sets no other
            self._unset_keepalive_if_required()
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._over() or self._answering() or not self._in_body:
            return
        if self.expect_100_continue:
            # refused before it sent its body: whether the body follows all the same nobody can tell
            self.transport.close()
        else:
            self._watch()

    def _feed(self, data: bytes) -> None:
        while not self._over():
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as offer:
                # httptools skips the body of a request that offers another protocol, as Java's HTTP client
                # does with every request to a plain address: https://github.com/MagicStack/httptools/issues/124
                data = self._head_without_offer() + data[offer.args[0] :]
                self.parser = httptools.HttpRequestParser(self)
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
            except httptools.HttpParserError:
                self._refuse(b"400 Bad Request")
            else:
                return

    def _head_without_offer(self) -> bytes:
        version = self.parser.get_http_version().encode()
        lines = [self.parser.get_method() + b" " + self.url + b" HTTP/" + version]
        lines += [name + b": " + value for name, value in self.headers if name != b"upgrade"]
        return b"\r\n".join([*lines, b"", b""])

    def _over(self) -> bool:
        return self._deaf or self.transport.is_closing()

    def _answering(self) -> bool:
        """Whether an application is at work for the latest request."""
        return self.cycle is not None and not self.cycle.response_complete

    def _watch(self) -> None:
        self._unread = 0
        self._timer = self.loop.call_later(self.deadline, self._dawdled)

    def _relax(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _dawdled(self) -> None:
        if self._unread and not self._in_body:
            self._refuse(b"408 Request Timeout")
        else:
            # a 408 to a caller who has asked nothing might be read as the answer to what it asks just now
            self._relax()
            self.transport.close()

    def _refuse(self, status: bytes) -> None:
        self._relax()
        if self._over():
            return
        self._deaf = True
        if self._answering() and not self._in_body:
            self.cycle.keep_alive = False
            return
        self.transport.write(b"HTTP/1.1 " + status + b"\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._timer = self.loop.call_later(self.linger, self.transport.close)
