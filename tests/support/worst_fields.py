"""Everything that looks at what a carrier, a person or a caller of the API has written, field by field."""

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode
from uuid import UUID

import orjson
from starlette.requests import Request as HttpRequest

from models.events import Request, Unreadable
from models.sends import Answer, Submission
from postback import logs
from receiver import callers, correlate, keywords, masking, media, phone, problems, retry_after, segments
from receiver.api import OPERATIONS, ranges, reading
from receiver.config import ChannelSettings, settings
from receiver.metrics.definitions import acknowledged, stored
from receiver.metrics.instruments import BoundedCounter
from receiver.providers import PROVIDERS
from receiver.read import ids
from receiver.read.filters import spellings_in
from receiver.secrets import Secrets
from receiver.sources import sources
from receiver.understand import understood
from receiver.webhooks import _headers
from tests.support.bounded_work import MEDIUM, Looker, Maker
from tests.support.cases import channel_of, read_cases
from tests.support.worst_texts import SEPARATORS, begun_with, filled

NOW = datetime(2026, 1, 1, tzinfo=UTC)
_ID = UUID(int=7)
#: bytes of an answer that refuses: twenty errors
_LARGEST_PROBLEM = 25_000
#: levels of a fixture's body that are gone down
_DEEPEST = 6
#: what a parser looks for besides separators, within its text
_WORDS = (
    "id:1 ",
    "text:",
    "/hooks/",
    "Key (",
    "://",
    "stop ",
    "x; name=",
    "\r\n--x\r\n",
    "<!--",
    "boundary=",
)
MAKERS: list[Maker] = [filled(one) for one in (*SEPARATORS, *_WORDS)] + [
    begun_with(begun, one)
    for begun in ("x", "bytes=", "+", "+54", 'x; a="', "Bearer ")
    for one in (" ", "0", ";")
]
#: for fields of carriers' bodies, of which there are hundreds
CARRIERS = [filled(one) for one in ("0", "+", "(", "'", '"', "/", "%20", "=", "&", ";", "id:1 ", "<!--")] + [
    begun_with("x", one) for one in (" ", "text:", "\n", "; name=")
]
#: for what pydantic's own patterns look at, which are linear by their nature
FEW = [filled(one) for one in (" ", "0", "+", ",", "/", "a", "'", "=", "\u00e9", "[")]


def of_carriers() -> Iterator[Looker]:
    """Every field of every fixture, in what a carrier calls back with, and in what it answers."""
    for name in PROVIDERS:
        seen: set[tuple[str, str]] = set()
        for case in read_cases(name):
            for key in ("request", "answer", "told", "polled"):
                said = case.says.get(key, {})
                for path, written in _variants(said["body"]) if said.get("body") else ():
                    # one of the items of a list is as good as another, and so is one of its levels
                    field = (key, path.strip("/0123456789").rpartition("/")[2])
                    if field not in seen:
                        seen.add(field)
                        called = f"{name}: {path} of {case.label}'s {key}"
                        look = _read(key, case.channel, said, written)
                        yield Looker(called, look, CARRIERS, expected=(Unreadable,))
        for header in ("content-type", "x-sinch-webhook-signature", "retry-after", "content-encoding"):
            yield Looker(f"{name}: the header {header}", _with_header(name, header), MAKERS, MEDIUM)
        yield Looker(f"{name}: the text of a send", _checked(name), MAKERS)


def _variants(said: Any) -> Iterator[tuple[str, Callable[[str], bytes]]]:
    """The body *said* with each of its fields replaced in turn."""
    if isinstance(said, str):
        for at, (field, _) in enumerate(pairs := parse_qsl(said)):
            yield (
                field,
                lambda text, at=at, pairs=pairs: urlencode(  # type: ignore[misc]
                    [(name, text if at == place else value) for place, (name, value) in enumerate(pairs)]
                ).encode(),
            )
        return
    for path in _paths(said):
        yield "/".join(map(str, path)), lambda text, path=path: orjson.dumps(_replaced(said, path, text))  # type: ignore[misc]


def _paths(value: Any, depth: int = 0) -> Iterator[tuple[str | int, ...]]:
    if isinstance(value, dict | list) and value and depth < _DEEPEST:
        for key, item in value.items() if isinstance(value, dict) else enumerate(value[:1]):
            yield from ((key, *path) for path in _paths(item, depth + 1))
    else:
        yield ()


def _replaced(value: Any, path: tuple[str | int, ...], text: str) -> Any:
    if not path:
        return text
    if isinstance(value, dict):
        return {
            key: _replaced(item, path[1:], text) if key == path[0] else item for key, item in value.items()
        }
    return [_replaced(value[0], path[1:], text), *value[1:]]


def _read(
    key: str, channel: ChannelSettings, said: dict[str, Any], written: Callable[[str], bytes]
) -> Callable[[str], object]:
    provider, headers = PROVIDERS[channel.provider], said.get("headers", {})
    if key == "request":
        return lambda text: take(channel, Request("POST", b"", headers, written(text), NOW))
    if key == "answer":
        return lambda text: logs.redact(
            None, "info", {"error": provider.outcome(_answer(said, written(text))).provider_message}
        )
    ask = provider.told if key == "told" else provider.polled
    return lambda text: ask(_answer(said, written(text)), channel)


def _answer(said: dict[str, Any], body: bytes) -> Answer:
    return Answer(said.get("status", 200), said.get("headers", {}), body, NOW)


def take(channel: ChannelSettings, request: Request) -> correlate.Rows:
    """All that is done with a carrier's request but for Postgres: it is read, made rows, counted, logged."""
    provider = PROVIDERS[channel.provider]
    callers.authentic(callers.Caller(request, None), channel, provider)
    state, reason, events = understood(provider, channel, request)
    rows = correlate.rows(events, sources({channel.name: channel}, PROVIDERS)[channel.name], _ID, NOW)
    stored("c", state, rows.events)
    logs.redact(None, "info", {"event": "unreadable", "reason": reason})
    return rows


def _with_header(name: str, header: str) -> Callable[[str], object]:
    def look(text: str) -> None:
        headers = {header: text}
        take(channel_of(name), Request("POST", b"a=b", headers, b"a=b&c=d", NOW))
        PROVIDERS[name].outcome(Answer(503, headers, b"", NOW))

    return look


def _checked(name: str) -> Callable[[str], object]:
    provider, channel = PROVIDERS[name], channel_of(name)

    def look(text: str) -> None:
        submission = Submission(_ID, "send", text, text, text, text, fallback_text=text, options={text: text})
        provider.check(submission, channel)
        provider.check_recipient(submission, channel)

    return look


def of_callers() -> Iterator[Looker]:
    """What callers of the API write, and what is looked at whoever wrote it."""
    loop = asyncio.new_event_loop()
    for model in dict.fromkeys(operation.query for operation in OPERATIONS):
        for name, field in model.model_fields.items():
            asked = field.alias or name
            yield Looker(f"{model.__name__}: ?{asked}=", _queried(model, asked), FEW, MEDIUM)
    for content in dict.fromkeys(operation.body for operation in OPERATIONS):
        for name, field in content.model_fields.items():
            yield Looker(f"{content.__name__}: {name}", _posted(loop, content, field.alias or name), FEW)
    for name, look, most in _LOOKS:
        yield Looker(name, look, MAKERS, most, (ValueError, media.Malformed, ranges.Unsatisfiable))


def _queried(model: Any, name: str) -> Callable[[str], object]:
    def look(text: str) -> None:
        for query in (f"{name}={quote(text)}", text, f"{quote(text)}=1"):
            scope = {"type": "http", "query_string": query[:MEDIUM].encode(), "headers": []}
            _refused(lambda scope=scope: reading.query(HttpRequest(scope), model))  # type: ignore[misc]

    return look


def _posted(loop: asyncio.AbstractEventLoop, model: Any, name: str) -> Callable[[str], object]:
    [example, *_] = model.model_config.get("json_schema_extra", {}).get("examples", [{}])

    def look(text: str) -> None:
        for content in (example | {name: text}, example | {name: [text]}, example | {text: 1}):
            body = orjson.dumps(content)[: reading.MAX_BODY]

            async def receive(body: bytes = body) -> dict[str, Any]:
                return {"type": "http.request", "body": body}

            request = HttpRequest({"type": "http", "headers": [(b"content-length", b"1")]}, receive)
            _refused(lambda request=request: loop.run_until_complete(reading.body(request, model)))  # type: ignore[misc]

    return look


def _refused(act: Callable[[], object]) -> None:
    try:
        act()
    except problems.Problem as problem:
        if len(problem.response().body) > _LARGEST_PROBLEM:
            raise RuntimeError(f"a problem quotes all that it was given: {problem.detail[:200]}") from None


def _peer(text: str) -> None:
    trusted = settings({"trusted_proxies": ["10.0.0.0/8"], "channels": {}}).trusted_proxies
    for hops in (text, f"{text},10.0.0.1", "10.0.0.1," * (len(text) // 9)):
        callers.peer_of({"client": ("10.0.0.9", 1)}, {"x-forwarded-for": hops}, trusted)


def _kept(text: str) -> None:
    callers.kept_headers(
        {text: text, "x": text, "authorization": text, "referer": f"/hooks/{text}"}, Secrets(["k" * 16])
    )
    callers.kept_query(text.encode())
    _headers({"headers": [(b"x", one.encode()) for one in text[: 16 << 10]]})


def _http_request(name: str) -> Callable[[str], object]:
    def look(text: str) -> None:
        request = HttpRequest({"type": "http", "headers": [(name.encode(), text.encode())]})
        _refused(lambda: reading.idempotency_key(request))
        _refused(lambda: reading._object(request, b"{}", OPERATIONS[0].body))

    return look


def _counted(text: str) -> None:
    acknowledged("c", 200, 0.1)
    BoundedCounter("x", "x", ("channel", "word")).add("c", masking.text(text))


def _form(text: str) -> bytes:
    return f'--x\r\ncontent-disposition: form-data; filename="{text}"; {text}\r\n\r\nx\r\n--x--\r\n'.encode()


_LOOKS: tuple[tuple[str, Callable[[str], object], int], ...] = (
    (
        "a logged text",
        lambda text: logs.redact(None, "info", {"event": text, "reason": text, "x": [text]}),
        1 << 20,
    ),
    ("a logged error", lambda text: logs._told((ValueError, ValueError(text), None)), 1 << 20),
    ("a masked text", masking.text, 1 << 20),
    ("a counted word", _counted, 1 << 20),
    ("a recipient", lambda text: phone.parse(text, "US"), 1 << 20),
    ("a sender", lambda text: phone.sender(text, "US"), 1 << 20),
    ("a carrier's number", phone.international, 1 << 20),
    ("a number's region", phone.region, 1 << 20),
    ("a number's spellings", lambda text: spellings_in(text, "US"), 1 << 20),
    ("an inbound text", keywords.verdict, 1 << 20),
    ("a text's parts", segments.count, 1 << 20),
    ("a proxy's header", _peer, MEDIUM),
    ("kept headers", _kept, MEDIUM),
    ("Retry-After", lambda text: retry_after.seconds({"retry-after": text, "date": text}, NOW), MEDIUM),
    ("Range", lambda text: ranges.asked_for(text, 100), MEDIUM),
    ("Idempotency-Key", _http_request("idempotency-key"), MEDIUM),
    ("Content-Type", _http_request("content-type"), MEDIUM),
    ("an id", ids.parse, 1 << 20),
    ("a cursor", ids.place_in_feed, 1 << 20),
    ("a file's name", lambda text: media.file_name(text, "image/png"), 1 << 20),
    (
        "a text part",
        lambda text: (media.text_in(text.encode(), text), media.is_layout(text.encode(), text)),
        1 << 20,
    ),
    ("a file's type", lambda text: media.type_of(text.encode(), text), 1 << 20),
    ("an upload's type", lambda text: media.file_in(b"x", f"multipart/form-data; {text}"), MEDIUM),
    (
        "an upload's headers",
        lambda text: media.file_in(
            _form(text.rstrip("\x01").replace("\n", "")), "multipart/form-data; boundary=x"
        ),
        1 << 20,
    ),
)
