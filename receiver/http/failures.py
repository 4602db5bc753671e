"""How a request of ours can fail, by what that means for it."""

import os
import socket
import ssl
from collections.abc import Iterator

from receiver.addresses import Forbidden

#: what libraries say in words of their own alone; all else may quote a header, an address or an answer
_FIXED = frozenset(["Server disconnected without sending a response.", "All connection attempts failed"])


class NotSent(Exception):
    """No connection was made: the carrier never saw the request."""


class Distrusted(NotSent):
    """The server was reached and its certificate, or its TLS, is none that we accept: it was told nothing."""


class AnswerLost(Exception):
    """The request left, wholly or in part, and no whole answer came: nobody here knows what became of it."""


class Unfetchable(Exception):
    """An address that gave no file, or may not be asked for one; the message says why. *pause* is the seconds
    of rest that its server asks for, None where it asks for none."""

    def __init__(self, reason: str, pause: float | None = None) -> None:
        super().__init__(reason)
        self.pause = pause


class Hopeless(Unfetchable):
    """Asking again would end the same."""


class Gone(Unfetchable):
    """Its server does not have it, or not for us: perhaps not yet, likelier no more."""


def said(error: BaseException) -> str:
    """Returns the kind of failure, and its cause as the system's tables and `addresses` name it.

    The words of libraries are left out unless they are constant: they quote headers and addresses, which may
    hold credentials, and answers, which may repeat them.
    """
    words = next(filter(None, map(_words, _chain(error))), "")
    return f"{type(error).__name__}: {words}" if words else type(error).__name__


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yields *error* and what it came of."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _words(error: BaseException) -> str:
    if isinstance(error, Forbidden):
        return str(error)
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate verify failed: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return (error.reason or "").replace("_", " ").lower()
    if type(error) is UnicodeError:  # of the codec for names; its subclasses hold what they refuse
        return "a label of the name is empty or too long"
    if isinstance(error, socket.gaierror):
        return str(error.strerror or "")
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return str(error) if str(error) in _FIXED else ""
