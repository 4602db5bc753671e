"""uvicorn's HTTP protocol with what it lacks: a deadline for a request, a cap on the size of its headers and
on the number of those that wait, refusals of heads that can be read in two ways, an end to a body that goes
on after its answer, to answers that nobody reads and to idle connections where there are too many, bodies of
requests that offer to upgrade, answers without chunks to HTTP/1.0, and short answers in one system call. (A
body's cap is that of whoever reads it.)"""

import asyncio

import httptools
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from receiver import framing, idle
from receiver.flow import Flow
from receiver.unframed import Unframed
from receiver.whole import Whole

#: the extension of a request's scope that holds the transport of its connection
TRANSPORT = "postback.transport"


class BoundedProtocol(HttpToolsProtocol):
    """Closes a connection that dawdles (408), floods (431) or speaks no HTTP (400) where a request should be.

    Requests that came whole before that are answered first, and then the connection is closed without a word.
    """

    #: seconds from the first byte of a connection or request to the end of its headers, or of its body where
    #: it is `prompt`, and from an answer to the end of the body that it did not wait for
    deadline = 10.0
    #: under this path bodies and answers are short; elsewhere whoever reads a body has a deadline of his own
    prompt = "/hooks/"
    #: seconds that a caller gets to read why he was refused: closing while he still writes resets the
    #: connection, and a reset takes the answer with it
    linger = 2.0
    #: seconds that an idle connection stays open once the server is told to stop: what its caller has just
    #: sent is answered, and the answer says that no other will be
    parting = 0.25
    #: seconds that answers may lie here because their caller does not read
    unread = 30.0
    #: bytes
    largest_headers = 64 * 1024
    #: requests that may wait for the answer to one before them. One read from the socket may hold thousands,
    #: and each takes a hundred times the room that its bytes take
    longest_pipeline = 512
    #: connections of a process, or three quarters of its file descriptors where these are fewer: beyond it,
    #: each new one closes the one that has been idle longest
    most_connections = 10_000

    _timer: asyncio.TimerHandle | None = None
    _full: asyncio.TimerHandle | None = None
    #: bytes since the end of the last request's headers or body
    _unread = 0
    #: whether the bytes at hand hold such an end
    _turned = False
    #: between the end of a request's headers and the end of its body
    _in_body = False
    #: whatever else comes is thrown away
    _deaf = False
    #: the server is told to stop
    _leaving = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # what is thrown away is read on: closing with some of it unread would take the answers with it
        self.flow = Flow(transport, lambda: bool(self.pipeline) and not self._deaf)
        self._idle = idle.of(self.server_state)
        if len(self.connections) > min(self.most_connections, idle.room()):
            self._idle.close_oldest()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._relax()
        self._idle.remove(self)
        self.resume_writing()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._full = self.loop.call_later(self.unread, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._full is not None:
            self._full.cancel()
            self._full = None

    def data_received(self, data: bytes) -> None:
        if self._over():
            return
        self._unread += len(data)
        self._turned = False
        self._unset_keepalive_if_required()
        self._feed(data)
        if self._turned:
            self._unread = 0
        elif not self._in_body and self._unread > self.largest_headers:
            self._refuse(b"431 Request Header Fields Too Large")
        # most requests come whole and need no timer
        if self._timer is None and self._awaits_more() and not self._over():
            self._watch()

    def on_headers_complete(self) -> None:
        if self._over():
            return
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                self._refuse(b"405 Method Not Allowed")
            return
        if self._unread > self.largest_headers and self._size_of_headers() > self.largest_headers:
            self._refuse(b"431 Request Header Fields Too Large")
            return
        refused = framing.refusal(self.parser.get_http_version(), self.parser.get_method(), self.headers)
        if refused is not None:
            self._refuse(refused)
            return
        if len(self.pipeline) >= self.longest_pipeline:
            self._refuse(b"429 Too Many Requests")
            return
        self._in_body = self._turned = True
        super().on_headers_complete()
        if self._leaving:
            self.cycle.keep_alive = False
        if not self._is_prompt(self.scope["path"]):
            self._relax()

    def on_body(self, body: bytes) -> None:
        if not self._over():
            super().on_body(body)

    def on_message_complete(self) -> None:
        if self._over() or not self._in_body:
            return
        self._in_body, self._turned = False, True
        self._relax()
        super().on_message_complete()
        if not self._answering():
            # uvicorn dropped its keep-alive time-out when the rest of the body came, and sets no other
            self._unset_keepalive_if_required()
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )
            self._idle.add(self)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._over() or self._answering():
            return
        if not self._in_body:
            self._idle.add(self)
            return
        if self.expect_100_continue:
            # refused before it sent its body: whether the body follows all the same nobody can tell
            self.transport.close()
        else:
            self._watch()

    def shutdown(self) -> None:
        self._leaving = True
        if self._answering():
            self.cycle.keep_alive = False
        else:
            self.loop.call_later(self.parting, self.part)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGIApp) -> None:  # type: ignore[override]
        cycle.scope["extensions"] = {TRANSPORT: {"transport": self.transport}}
        prompt = self._is_prompt(cycle.scope["path"])
        if prompt:
            app = Whole(app, cycle)
        elif cycle.scope["http_version"] == "1.0":
            app = Unframed(app, cycle)
        super()._start_asgi_task(cycle, app)  # type: ignore[arg-type]

    def _unset_keepalive_if_required(self) -> None:
        super()._unset_keepalive_if_required()
        self._idle.remove(self)

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

    def _awaits_more(self) -> bool:
        """Whether it is the caller's turn: headers have begun, or a body that has to be prompt."""
        return self._is_prompt(self.scope["path"]) if self._in_body else not self._answering()

    def _is_prompt(self, path: str) -> bool:
        return path.startswith(self.prompt)

    def _size_of_headers(self) -> int:
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers)

    def _watch(self) -> None:
        self._relax()
        self._timer = self.loop.call_later(self.deadline, self._dawdled)

    def _relax(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _dawdled(self) -> None:
        if self._in_body and self.pipeline:
            self._watch()  # of an earlier request the answer is still due
        elif self._in_body and self._answering() and not self.cycle.response_started:
            self.cycle.disconnected = True  # whoever waits for the body need not answer any more
            self.cycle.message_event.set()
            self._refuse(b"408 Request Timeout")
        elif self._unread and not self._in_body:
            self._refuse(b"408 Request Timeout")
        else:
            # a 408 to a caller who has asked nothing might be read as the answer to what it asks just now
            self._relax()
            self.transport.close()

    def part(self) -> None:
        """Closes the connection unless a request of its caller is at work."""
        if not self._answering():
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
