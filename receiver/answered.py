"""Carriers' answers to what we asked, kept as payloads like what they send by themselves.

Such a payload's method is `METHOD`. Its query says what was asked and the HTTP status of the answer
(``to=poll&status=200&list=sms``); of the headers only ``content-type`` is kept. The call is left out: its
address and headers may hold credentials.
"""

from enum import StrEnum
from urllib.parse import parse_qs, urlencode

from models.events import Event, Request, Unreadable
from models.sends import Answer
from receiver.config import ChannelSettings
from receiver.providers.base import Provider

METHOD = "ANSWER"


class Asked(StrEnum):
    """What a kept answer is an answer to."""

    POLL = "poll"
    QUESTION = "question"
    SEND = "send"


def query(asked: Asked, answer: Answer, listed: str = "") -> str:
    """Returns the query of a polled payload; *listed* is the list that was polled."""
    return urlencode({"to": asked, "status": answer.status} | ({"list": listed} if listed else {}))


def events(provider: Provider, channel: ChannelSettings, request: Request) -> list[Event]:
    """What the answer kept as *request* tells. Raises ``Unreadable``, and whatever a parser may."""
    asked = {name: values[0] for name, values in parse_qs(request.query.decode("latin-1")).items()}
    status = asked.get("status", "")
    if not status.isdecimal() or len(status) > 3:
        raise Unreadable("the HTTP status of the answer was not kept")
    answer = Answer(int(status), request.headers, request.body)
    if asked.get("to") == Asked.POLL:
        return provider.polled(answer, channel, asked.get("list", ""))[0]
    if asked.get("to") == Asked.QUESTION:
        return provider.told(answer, channel)
    raise Unreadable("an answer to a send settles its message once, or not at all")
