"""How a request of ours can fail, by what that means for it."""


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


def said(error: Exception) -> str:
    """The kind of failure and its words, without the request: its URL and headers may hold credentials."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
