"""The fixtures of every provider, read: docs/providers/README.md tells their form."""

import json
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, fields, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from models.events import Event, Inbound, Report, Request, TemplateReport
from models.sends import Answer, Call, OutgoingMedia, Submission
from receiver.config import ChannelSettings
from receiver.providers import PROVIDERS
from receiver.providers.base import Provider

FIXTURES = Path(__file__).parent.parent / "fixtures"
NAMES = sorted(PROVIDERS)
SUBMISSION_ID = UUID("01920000-0000-7000-8000-00000000c0de")
EVENT_NAMES = {Report: "report", Inbound: "inbound", TemplateReport: "template"}


@dataclass(frozen=True)
class Case:
    """One fixture, or one row of a fixture that is a table."""

    provider_name: str
    label: str
    says: dict[str, Any]

    @property
    def provider(self) -> Provider:
        return PROVIDERS[self.provider_name]

    @property
    def channel(self) -> ChannelSettings:
        return channel_of(self.provider_name, **self.says.get("channel", {}))

    def events(self) -> list[Event]:
        """What the carrier told: by itself, in a page that we polled, or because we asked."""
        if "polled" in self.says:
            return self.provider.polled(
                answer_of(self.says["polled"]), self.channel, self.says.get("list", "")
            )[0]
        if "told" in self.says:
            return self.provider.told(answer_of(self.says["told"]), self.channel)
        return self.provider.parse(request_of(self.says["request"]), self.channel)


def channel_of(name: str, **changed: Any) -> ChannelSettings:
    """The channel of ``channel.json``, with *changed* keys laid over it."""
    return ChannelSettings(name="practice", provider=name, **configured(name) | changed)


@cache
def configured(name: str) -> dict[str, Any]:
    said: dict[str, Any] = json.loads((FIXTURES / name / "channel.json").read_text())
    return said


def read_cases(name: str) -> Iterator[Case]:
    for path in sorted((FIXTURES / name).glob("*.json")):
        said = json.loads(path.read_text())
        if isinstance(said, list):
            yield from (Case(name, f"{path.stem}[{row}]", says) for row, says in enumerate(said))
        elif path.stem != "channel":
            yield Case(name, path.stem, said)


CASES = [case for name in NAMES for case in read_cases(name)]


def told(*keys: str) -> pytest.MarkDecorator:
    """Every case that has all of *keys*."""
    chosen = [case for case in CASES if case.says.keys() >= set(keys)]
    return pytest.mark.parametrize(
        "case", chosen, ids=[f"{case.provider_name}/{case.label}" for case in chosen]
    )


def each_provider() -> pytest.MarkDecorator:
    return pytest.mark.parametrize("provider", PROVIDERS.values(), ids=PROVIDERS)


def named(case: Case, label: str) -> Case:
    return next(other for other in CASES if (other.provider_name, other.label) == (case.provider_name, label))


def request_of(said: dict[str, Any]) -> Request:
    """A JSON value is sent as JSON, a string as it stands; bytes that are no text are in base64."""
    body = said.get("body", "")
    if "body_base64" in said:
        raw = b64decode(said["body_base64"])
    else:
        raw = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    request = Request(
        said.get("method", "POST"), said.get("query", "").encode(), said.get("headers", {}), raw
    )
    if "received_at" in said:
        return replace(request, received_at=datetime.fromisoformat(said["received_at"]))
    return request


def answer_of(said: dict[str, Any]) -> Answer:
    request = request_of(said)
    return Answer(said.get("status", 200), request.headers, request.body)


def submission_of(said: dict[str, Any]) -> Submission:
    given = {"action": "send", "sender": None, "recipient": None} | said
    given["media"] = [media_of(file) for file in said.get("media", [])]
    given["recipients"] = tuple(said.get("recipients", []))
    if "expires_at" in said:
        given["expires_at"] = datetime.fromisoformat(said["expires_at"])
    return Submission(id=SUBMISSION_ID, **given)


def media_of(said: dict[str, Any]) -> OutgoingMedia:
    given = dict(said)
    content = given.pop("content_base64", None)
    return OutgoingMedia(**given, content=None if content is None else b64decode(content))


def made(call: Call, expected: dict[str, Any]) -> dict[str, Any]:
    """*call* as *expected* writes it: a body that is JSON there is compared as JSON."""
    body = call.body.decode()
    return {
        "method": call.method,
        "url": call.url,
        "headers": dict(call.headers),
        "body": body if isinstance(expected["body"], str) else json.loads(body),
    }


def plain(value: Any) -> Any:
    """A value of ours as a fixture writes it: what has its default, and the identity, is left out."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if isinstance(value, bytes):
        return b64encode(value).decode()
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if not hasattr(value, "__dataclass_fields__"):
        return value
    return {
        field.name: plain(getattr(value, field.name))
        for field in fields(value)
        if field.name != "identity" and not has_default(field, getattr(value, field.name))
    }


def has_default(field: Any, value: Any) -> bool:
    default = field.default_factory() if field.default_factory is not MISSING else field.default
    return bool(value == default)


def entry(event: Event) -> dict[str, Any]:
    return {EVENT_NAMES[type(event)]: plain(event)}


def identities(events: list[Event]) -> list[Any]:
    return [event.identity for event in events if not isinstance(event, TemplateReport)]
