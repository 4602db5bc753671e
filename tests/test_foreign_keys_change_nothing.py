"""Whoever holds another channel's token or bound key changes nothing of a channel, on any route of the
OpenAPI document and at the door of any carrier, with the channel's names and number in place of its own.

"Nothing" is every row of every table: those that were there stay as they are, and none that is new names the
channel, its number or anything that it has. A route that this file has no recipe for makes it fail.
"""

import json
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from uuid_utils.compat import uuid7

from models.errors import ErrorClass
from models.events import Event, Inbound, Report, Request
from models.sends import Answer
from models.status import Status
from receiver import auth, spooled
from receiver.answered import Asked
from receiver.config import ChannelSettings
from receiver.ingest import Arrival
from receiver.providers import PROVIDERS
from receiver.rows import PayloadRow
from receiver.sources import sources
from receiver.spool import Record
from sender.answers import Answers
from tests.support.cases import NAMES, Case, channel_of, read_cases, request_of
from tests.support.foreign import BODIES, CONTACT, FOREIGN, FOREIGN_NUMBER, objects, operations
from tests.support.receiver import Receiver, running
from tests.support.store import told

#: the number of the channel in the country of each carrier, and one in a country where it has two spellings
NUMBERS = {"1": FOREIGN_NUMBER, "61": "+61412345678", "52": "+525512345678"}
OTHERWISE = "+5215512345678"
#: people in those countries: who may be written to by the channel, and who has opted out there
WILLING = {"1": "+12065550177", "61": "+61400000177"}
OUT = {"1": CONTACT, "61": "+61400000188"}
#: rows that are no channel's: requests as they came, the head of the feed, when a key was last used
_EVERYBODYS = ("payload", "feed_head", "alembic_version", "api_key")


def door(provider: str) -> str:
    """The name of the other channel, on which *provider* calls us."""
    return f"at-{provider}"


@dataclass
class House:
    """*named* are the channel's objects, by the first word of their path; *bound* is a key for the others."""

    receiver: Receiver
    named: dict[str, dict[str, str]]
    owner: dict[str, str]
    own: dict[str, str]
    bound: dict[str, str]

    async def asked(self, method: str, path: str, key: dict[str, str], **body: Any) -> httpx.Response:
        return await self.receiver.client.request(method, self.receiver.url + path, headers=key, **body)

    async def everything(self) -> dict[str, list[str]]:
        """Every row of every table but `_EVERYBODYS`, as JSON."""
        tables = await self.receiver.rows(
            """SELECT c.relname::text AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
               WHERE n.nspname = 'postback' AND c.relkind IN ('r', 'p') AND NOT c.relispartition"""
        )
        return {
            name: [
                row["text"]
                for row in await self.receiver.rows(
                    f"SELECT to_jsonb(t)::text AS text FROM postback.{name} t"  # noqa: S608
                )
            ]
            for (name,) in tables
            if name not in _EVERYBODYS
        }

    async def changed(self, before: dict[str, list[str]]) -> dict[str, Any]:
        """Rows that stood *before* and do not now, and new ones that name what is the channel's."""
        after = await self.everything()
        marks = [FOREIGN, *(name for names in self.named.values() for name in names.values())]
        marks += [*NUMBERS.values(), OTHERWISE]
        ours = re.compile("|".join(re.escape(f'"{mark}"') for mark in marks if mark not in OUT.values()))
        found = {
            name: sorted(set(before[name]) - set(after[name]))
            + [row for row in set(after[name]) - set(before[name]) if ours.search(_without_the_mark(row))]
            for name in before
        }
        return {name: rows for name, rows in found.items() if rows}

    async def seen(self) -> list[Any]:
        """What a key of the channel's own is told."""
        return [
            (await self.asked("GET", path, self.own)).json()["data"]
            for path in ("/v1/conversations", "/v1/messages", "/v1/templates", "/v1/events")
        ]


def _without_the_mark(row: str) -> str:
    """A message may say to which number it was written, and a report from which one, beside what counts."""
    said = json.loads(row)
    if "metadata_" in said:
        (said["metadata_"] or {}).pop("foreign_number", None)
    if said.get("origin") == "external":
        said.pop("our_number")
    return json.dumps(said)


@pytest.fixture
async def house(database_url: str, tmp_path: Path) -> AsyncIterator[House]:
    doors = {door(name): _channel(name) for name in NAMES}
    channel = {
        "provider": "sinch_mms",
        "tokens": ["a-token-of-tests"],
        "from": [*NUMBERS.values()],
        "api_key": "k",
    }
    channels = {FOREIGN: channel, **doors}
    more: dict[str, Any] = {"private_networks": ["127.0.0.1/32"], "data_dir": str(tmp_path)}
    async with running(database_url, channels, **more) as receiver:
        engine, known, scopes = receiver.app._engine, receiver.app._secrets, list(auth.Scope)
        own = await auth.create_key(engine, known, name="own", scopes=scopes, channels=[FOREIGN])
        bound = await auth.create_key(engine, known, name="bound", scopes=scopes, channels=[*doors])
        keys = [{"Authorization": f"Bearer {key}"} for key in (receiver.key, own, bound)]
        async with httpx.AsyncClient(base_url=receiver.url, timeout=20) as client:
            named = await objects(client, database_url, keys[0])
        made = House(receiver, named, *keys)
        await _converse(made)
        yield made


def _channel(name: str) -> dict[str, Any]:
    given = channel_of(name).model_dump(by_alias=True, exclude_defaults=True, exclude={"name"})
    # credentials belong to the door, which has tests of its own
    cleared = {"tokens": ["a-token-of-tests"], "webhook_secret": None, "basic": None, "bearer": None}
    own = "+61400000199" if country_of(name) == "61" else f"+120625500{NAMES.index(name):02}"
    return {**given, **cleared, "from": [own], "opt_out_reply": "You will hear no more of us."}


async def _converse(house: House) -> None:
    """People write to the channel, are written to, and one of each country opts out. The owner sends from its
    number through other channels too: nobody but an unbound key may do that."""
    for country in WILLING:
        for contact, text in ((WILLING[country], "Hello"), (OUT[country], "STOP")):
            said = Inbound(contact, (contact, text), sender=contact, recipient=NUMBERS[country], text=text)
            await hear(house, FOREIGN, said)
        send = {"from": NUMBERS[country], "to": WILLING[country], "text": "Hello"}
        names = ("cellcast", "cellcast_v1") if country == "61" else ("sinch_sms", "swift", "voicetel")
        for channel in (FOREIGN, *map(door, names)):
            answer = await house.asked("POST", "/v1/messages", house.owner, json={**send, "channel": channel})
            assert 202 == answer.status_code, answer.text


async def hear(house: House, channel: str, *events: Event) -> None:
    """What *channel* tells, past its parser."""
    settings = house.receiver.settings
    arrival = told(sources(settings.channels, PROVIDERS)[channel], *events)
    await house.receiver.app._ingest.put(arrival)


def inbounds(name: str) -> list[Case]:
    """What people wrote, by the callbacks of a carrier."""
    return [
        case
        for case in read_cases(name)
        if "request" in case.says
        and not {"channel", "authentic"} & case.says.keys()
        and any("inbound" in entry for entry in case.says.get("expected", ()))
    ]


def country_of(name: str) -> str:
    return "61" if name.startswith("cellcast") else "1"


def rewritten(case: Case, word: str | None, number: str, contact: str) -> Request:
    """The request of *case* with *number* as ours, and *contact* who wrote *word*, or what stands there."""
    request = request_of(case.says["request"])
    [inbound, *_] = [entry["inbound"] for entry in case.says["expected"] if "inbound" in entry]
    country = country_of(case.provider_name)

    def swapped(text: str) -> str:
        for theirs, mine in ((inbound.get("recipient"), number), (inbound.get("sender"), contact)):
            if theirs and theirs.startswith(f"+{country}"):
                place = len(country) + 1
                text = text.replace(theirs[place:], mine[place:])
        said = inbound.get("text") or inbound.get("subject") or ""
        return text.replace(said, word) if word and re.search("[A-Za-z]{4}", said) else text

    body = swapped(request.body.decode("latin-1")).encode("latin-1")
    return replace(request, body=body, query=swapped(request.query.decode()).encode())


def asks(name: str, channel: ChannelSettings) -> Iterator[tuple[Request, list[Inbound]]]:
    """Requests of a carrier to the channel's number, with its own words, STOP, START and HELP; and what its
    provider makes of each."""
    country = country_of(name)
    for case in inbounds(name):
        for word, contact in ((None, WILLING), ("STOP", WILLING), ("START", OUT), ("HELP", WILLING)):
            request = rewritten(case, word, NUMBERS[country], contact[country])
            events = PROVIDERS[name].parse(request, channel)
            yield request, [event for event in events if isinstance(event, Inbound)]


@pytest.mark.parametrize("name", NAMES)
async def test_a_door_lets_nobody_in_to_a_number_of_another_channel(house: House, name: str) -> None:
    before, seen = await house.everything(), await house.seen()
    written: list[Inbound] = []
    for request, events in asks(name, house.receiver.settings.channels[door(name)]):
        url = house.receiver.hook(door(name)) + (f"?{request.query.decode()}" if request.query else "")
        answer = await house.receiver.client.request(
            request.method, url, content=request.body, headers=dict(request.headers)
        )
        assert answer.is_success
        written += events

    numbers = {event.recipient for event in written}
    assert numbers & {*NUMBERS.values(), None}  # one carrier names no number of ours
    assert {"STOP", "START", "HELP"} <= {event.text or event.subject for event in written}
    assert {} == await house.changed(before)
    assert seen == await house.seen()
    kept = await house.receiver.rows(
        "SELECT DISTINCT our_number FROM postback.conversation WHERE channels = $1", [door(name)]
    )
    assert f"channel:{door(name)}" in {row["our_number"] for row in kept}


@pytest.mark.parametrize("way", ["door", "polled", "spooled", "replayed"])
async def test_no_way_in_leads_to_a_number_of_another_channel(house: House, way: str) -> None:
    """However that is written; nor, where the carrier names none, by what the owner sent from it."""
    numbers = [*NUMBERS.values(), OTHERWISE, f"channel:{FOREIGN}", "*", "+1 888 555-1234"]
    words = [(WILLING["1"], "Hello"), (WILLING["1"], "STOP"), (OUT["1"], "START")]
    told: list[tuple[str | None, str, str]] = [(number, *word) for number in numbers for word in words]
    told += [(None, *word) for word in words[:2]]
    before, seen = await house.everything(), await house.seen()
    for one in told:
        await _told(house, way, *one)

    said = await house.receiver.rows(
        """SELECT contact, text, our_number
           FROM postback.message JOIN postback.message_body ON message_id = id
           WHERE channel = $1 AND direction = 'inbound' ORDER BY id""",
        door("swift"),
    )
    expected = [(*word, f"channel:{door('swift')}") for _, *word in told]
    assert expected == [tuple(row) for row in said]
    assert {} == await house.changed(before)
    assert seen == await house.seen()


async def _told(house: House, way: str, number: str | None, contact: str, text: str) -> None:
    """A message to *number* that reaches us at the other channel's door, when it is asked, out of the spool
    or by a replay."""
    channel = house.receiver.settings.channels[door("swift")]
    body = json.dumps({"id": str(uuid7()), "from": contact, "to": number, "body": text, "type": "sms"})
    request = Request("POST", b"", {}, body.encode())
    source = sources(house.receiver.settings.channels, PROVIDERS)[channel.name]
    ingest = house.receiver.app._ingest
    payload = PayloadRow(
        uuid7(), channel.name, "applied", None, "POST", "", "{}", body.encode(), None, datetime.now(UTC)
    )
    if way == "door":
        await hear(house, channel.name, *PROVIDERS["swift"].parse(request, channel))
    elif way == "polled":
        swift = _Polled(PROVIDERS["swift"])
        answers = Answers(channel, swift, source, ingest)  # type: ignore[arg-type]
        await answers.keep(Asked.POLL, Answer(200, {}, body.encode()))
    elif way == "spooled":
        again = spooled.reader(house.receiver.settings.channels, PROVIDERS)
        await ingest.commit(await again(Record(payload)))
    else:
        await ingest.put(Arrival(payload._replace(state="quarantined", reason="a fault of ours"), source))
        answer = await house.asked(
            "POST", "/v1/payloads/replay", house.bound, json={"ids": [str(payload.id)]}
        )
        assert 200 == answer.status_code, answer.text


class _Polled:
    """*provider*, as if it could be polled."""

    def __init__(self, provider: Any) -> None:
        self._provider = provider

    def polled(self, answer: Answer, channel: Any, listed: str) -> Any:
        return self._provider.parse(Request("POST", b"", {}, answer.body), channel), False


async def test_a_report_opts_nobody_out_of_a_number_of_another_channel(house: House) -> None:
    before, seen = await house.everything(), await house.seen()
    [sent] = await house.receiver.rows(
        "SELECT id FROM postback.message WHERE channel = $1 AND direction = 'outbound'", door("swift")
    )
    for name, reference in (("x1", None), ("x2", str(sent["id"]))):
        report = Report(
            name, "opted out", Status.REJECTED, (name,), error=ErrorClass.OPTED_OUT,
            sender=NUMBERS["1"], recipient=WILLING["1"], client_reference=reference,
        )  # fmt: skip
        await hear(house, door("swift"), report)
        await hear(house, door("sinch_sms"), replace(report, provider_message_id=f"{name} too"))

    numbers = await house.receiver.rows(
        "SELECT DISTINCT our_number FROM postback.opt_out WHERE contact = $1", WILLING["1"]
    )
    changed = await house.changed(before)
    # of what the owner sent through the other channel from this number, and nothing else
    assert {"message", "outbox", "awaited_report"} >= changed.keys()
    assert all(f'"{door("swift")}"' in row for rows in changed.values() for row in rows)
    assert {f"channel:{door('swift')}", f"channel:{door('sinch_sms')}"} == {row[0] for row in numbers}
    assert seen == await house.seen()


def recipes(house: House) -> dict[tuple[str, str], list[tuple[dict[str, Any], int, str | None]]]:
    """By operation, bodies that reach for what is the channel's, the answer's status and its pointer."""
    mine = {"to": CONTACT, "text": "x"}
    masked = {**mine, "channel": door("sinch_mms"), "options": {"from-mask": "1 (888) 555-1234"}}
    ids = {"ids": [house.named["payloads"]["id"]]}
    return {
        ("post", "/v1/messages"): [
            ({**mine, "from": NUMBERS["1"]}, 422, "/from"),
            ({**mine, "from": "1 (888) 555-1234"}, 422, "/from"),
            ({**mine, "from": "+52 1 55 1234 5678"}, 422, "/from"),
            ({**mine, "from": NUMBERS["1"], "channel": door("swift")}, 422, "/from"),
            ({**mine, "from": NUMBERS["1"], "channel": FOREIGN}, 422, "/from"),
            ({**mine, "channel": FOREIGN}, 422, "/channel"),
            (masked, 422, "/options/from-mask"),
            ({**mine, "template_id": house.named["templates"]["id"]}, 422, "/template_id"),
            ({**mine, "channel": door("swift"), "media": [house.named["media"]]}, 422, "/media/0/id"),
        ],
        ("post", "/v1/messages/lookup"): [({"ids": [house.named["messages"]["id"]]}, 200, None)],
        ("post", "/v1/templates"): [({"channel": FOREIGN, "name": "n", "text": "x"}, 422, "/channel")],
        ("post", "/v1/subscribers"): [
            ({"url": "http://127.0.0.1:9/", "channels": [FOREIGN]}, 422, "/channels/0"),
        ],
        ("post", "/v1/payloads/replay"): [
            ({}, 200, None),
            (ids, 200, None),
            ({"channel": FOREIGN}, 200, None),
        ],
        ("post", "/v1/media"): [],  # a file names nothing
    }


async def test_no_route_changes_what_is_another_channels(house: House) -> None:
    before, seen = await house.everything(), await house.seen()
    known, differing = recipes(house), []
    for method, path, operation in operations():
        if path.endswith("/stream"):
            continue
        if "{" not in path:
            for body, status, pointer in [({}, 200, None)] if method == "get" else known[method, path]:
                given = {} if method == "get" else {"json": body}
                answer = await house.asked(method, path, house.bound, **given)
                errors = [one["pointer"] for one in answer.json().get("errors", ())]
                if (answer.status_code, errors) != (status, [pointer] if pointer else []):
                    differing.append((method, path, body, answer.status_code, errors))
            continue
        named = house.named[path.split("/")[2]]
        filled = re.sub(r"{(\w+)}", lambda found: named[found[1]], path)  # noqa: B023
        body = {"json": BODIES[method, path]} if "requestBody" in operation else {}
        answer = await house.asked(method, filled, house.bound, **body)
        if answer.status_code != 404:
            differing.append((method, path, body, answer.status_code, []))

    assert [] == differing
    assert {} == await house.changed(before)
    assert seen == await house.seen()


async def test_the_channel_itself_is_reached_by_the_same_calls(house: House) -> None:
    """Or the tests above would show nothing."""
    before = await house.everything()
    await hear(house, FOREIGN, Inbound("y", ("y",), sender=WILLING["1"], recipient=NUMBERS["1"], text="STOP"))
    send = {"to": CONTACT, "text": "x", "from": "1 (888) 555-1234"}
    answer = await house.asked("POST", "/v1/messages", house.own, json=send)

    assert 202 == answer.status_code
    assert {"conversation", "opt_out", "outbox", "message"} <= (await house.changed(before)).keys()


async def test_a_key_keeps_its_conversations_whoever_wrote_into_them(house: House) -> None:
    """As an unbound key does here, and every door did before numbers were told apart."""
    listed = (await house.asked("GET", "/v1/conversations", house.own)).json()["data"]
    [conversation] = [one for one in listed if one["contact"] == WILLING["1"]]
    path = f"/v1/conversations/{conversation['id']}"
    reply = await house.asked("POST", f"{path}/messages", house.own, json={"text": "Hello again"})
    unbound = await house.asked("POST", f"{path}/messages", house.owner, json={"text": "Hello again"})
    by_others = await house.asked("GET", path, house.bound)

    assert [FOREIGN] == conversation["channels"]
    assert {"ok": True, "reason": None} == conversation["can_reply"]
    assert None is conversation["last_message"]  # it passed on a channel that is not this key's
    assert [(202, FOREIGN)] * 2 == [
        (answer.status_code, answer.json()["data"][0]["channel"]) for answer in (reply, unbound)
    ]
    assert 404 == by_others.status_code
