"""What a caller shows of himself, and what of it may be written down."""

import base64
import ipaddress
import json
from typing import Any

import orjson
import pytest
import pytest_asyncio

from models.events import Request
from receiver.callers import Caller, authentic, kept_headers, kept_query, peer_of
from receiver.config import ChannelSettings
from receiver.providers.sinch_mms import SinchMms
from receiver.secrets import Secrets
from tests.support.beds import Bed
from tests.support.receiver import CHANNEL, TOKEN, copied, empty, running
from tests.support.store import postback

DELIVERED = orjson.dumps(postback("N102", "MMSMT7Qx2LmZp"))
OPEN = {"provider": "sinch_mms", "tokens": [TOKEN]}
PROXIES = [ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def module_url(bed: Bed, template_url: str) -> str:
    return await copied(bed, template_url, "callers")


@pytest.fixture
async def database_url(module_url: str) -> str:
    await empty(module_url)
    return module_url


@pytest.mark.parametrize(
    ("query", "kept"),
    [
        (b"status=DELIVRD&id=7", "status=DELIVRD&id=7"),
        (b"apikey=s&id=7", "apikey=***&id=7"),
        (b"id=7&API-KEY=s", "id=7&API-KEY=***"),
        (b"id=7;token=s;a=1", "id=7;token=***;a=1"),
        (b"password=&secret=a%26b", "password=***&secret=***"),
        (b"auth_token=s==&access-token=s", "auth_token=***&access-token=***"),
        (b"keyword=STOP&monkey=1&tokens=2", "keyword=STOP&monkey=1&tokens=2"),
        (b"text=\xe9\0%00", "text=\xe9%00"),
    ],
)
def test_secrets_leave_the_query_and_everything_else_stays(query: bytes, kept: str) -> None:
    assert kept == kept_query(query)


def test_equal_credentials_are_kept_equal_under_one_key_and_tell_nothing_under_another() -> None:
    headers = {"authorization": "Basic YTpi"}
    one, same, other = (kept_headers(headers, Secrets([16 * key])) for key in ("a", "a", "b"))

    assert one == same
    assert one != other
    assert "YTpi" not in one


@pytest.mark.parametrize(
    ("peer", "forwarded", "believed"),
    [
        ("192.0.2.1", "198.51.100.1", "192.0.2.1"),
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "198.51.100.1, 10.0.0.2", "198.51.100.1"),
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("fd00::1", "[2001:db8::1]:443", "2001:db8::1"),
        ("::ffff:10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "unknown", "unknown"),
        (None, "198.51.100.1", None),
    ],
)
def test_only_a_proxy_of_ours_speaks_for_somebody_else(
    peer: str | None, forwarded: str, believed: str | None
) -> None:
    scope = {"client": (peer, 1) if peer else None}

    assert believed == peer_of(scope, {"x-forwarded-for": forwarded}, PROXIES)


@pytest.mark.parametrize("check", [{"basic": ""}, {"bearer": ""}, {"bearer": ["", ""]}])
@pytest.mark.parametrize("given", [None, "", "Basic ", "Basic", "Bearer", "Bearer "])
def test_an_empty_secret_lets_nobody_in(check: dict[str, Any], given: str | None) -> None:
    headers = {} if given is None else {"authorization": given}
    channel = ChannelSettings(name="c", provider="sinch_mms", **check)

    assert not authentic(Caller(Request("POST", b"", headers, b""), None), channel, SinchMms())


def test_headers_are_json_whatever_bytes_they_had() -> None:
    headers = {"x-odd": "\x01\x7f\xff\0", "cookie": "a=1"}

    assert {"x-odd": "\x01\x7f\xff"} == json.loads(kept_headers(headers, Secrets(["k" * 16])))


# --- what is kept of a caller -------------------------------------------------------------------------------

CANARIES = {
    "Authorization": "Bearer canary-1",
    "Proxy-Authorization": "Basic canary-2",
    "X-Api-Key": "canary-3",
    "APPKEY": "canary-4",
    "X-Auth-Token": "canary-5",
    "Webhook-Secret": "canary-6",
    "Cookie": "session=canary-7",
    "X-Original-URL": f"/hooks/{CHANNEL}/{TOKEN}?status=1",
    "X-Forwarded-Uri": f"/hooks/{CHANNEL}/{TOKEN}",
    "Referer": f"https://sms.example.com/hooks/{CHANNEL}/{TOKEN}",
}


async def test_no_secret_of_a_caller_reaches_the_database_in_clear(database_url: str) -> None:
    async with running(database_url, {CHANNEL: OPEN}) as receiver:
        query = "apikey=canary-a&api_key=canary-b&Token=canary-c&a=1&access_token=canary-d&password=canary-e"

        await receiver.client.post(f"{receiver.hook()}?{query}", content=DELIVERED, headers=CANARIES)

        [row] = await receiver.rows("SELECT to_jsonb(p)::text AS text, query FROM postback.payload p")
        assert "canary" not in row["text"]
        assert TOKEN not in row["text"]
        assert "apikey=***&api_key=***&Token=***&a=1&access_token=***&password=***" == row["query"]


async def test_headers_are_kept_and_a_credential_stays_recognisable(database_url: str) -> None:
    async with running(database_url, {CHANNEL: OPEN}) as receiver:
        headers = {
            b"authorization": b"Bearer canary",
            b"x-sinch-webhook-signature": b"t=1,v1=abc",
            b"content-type": b"text/odd",
            b"x-name": "Zoë".encode(),
        }

        await receiver.client.post(receiver.hook(), content=DELIVERED, headers=headers)

        [payload] = await receiver.payloads()
        kept = orjson.loads(payload["headers"])
        hashed = receiver.app._secrets.keyed_hash("credential", b"Bearer canary").hex()
        assert {
            "authorization": f"hmac:{hashed}",
            "x-sinch-webhook-signature": "t=1,v1=abc",
            "content-type": "text/odd",
            "x-name": "Zoë".encode().decode("latin-1"),
        } == {name.decode(): kept[name.decode()] for name in headers}


# --- authentication -----------------------------------------------------------------------------------------


def basic(credentials: str) -> str:
    return f"Basic {base64.b64encode(credentials.encode()).decode()}"


AUTHENTICATION: list[tuple[dict[str, Any], dict[str, Any], int]] = [
    ({"basic": "ann:sécret:x"}, {"authorization": basic("ann:sécret:x")}, 200),
    ({"basic": "ann:s"}, {"authorization": basic("ann:s").replace("Basic ", "basic  ")}, 200),
    ({"basic": "ann:s"}, {"authorization": basic("ann:t")}, 401),
    ({"basic": "ann:s"}, {"authorization": "Basic ann:s"}, 401),
    ({"basic": "ann:s"}, {"authorization": "Bearer ann:s"}, 401),
    ({"basic": "ann:s"}, {}, 401),
    ({"bearer": "sécret"}, {"authorization": "Bearer sécret".encode()}, 200),
    ({"bearer": "s"}, {"authorization": "bearer s"}, 200),
    ({"bearer": "s"}, {"authorization": "Bearer S"}, 401),
    ({"bearer": "s"}, {"authorization": "s"}, 401),
    ({"bearer": "s"}, {"authorization": "Bearer"}, 401),
    ({"basic": ["ann:new", "ann:old"]}, {"authorization": basic("ann:old")}, 200),
    ({"basic": ["ann:new", "ann:old"]}, {"authorization": basic("ann:new")}, 200),
    ({"basic": ["ann:new", "ann:old"]}, {"authorization": basic("ann:older")}, 401),
    ({"bearer": ["new", "old"]}, {"authorization": "Bearer old"}, 200),
    ({"bearer": ["new", "old"]}, {"authorization": "Bearer new"}, 200),
    ({"bearer": ["new", "old"]}, {"authorization": "Bearer older"}, 401),
    ({"bearer": ["new", "old"]}, {"authorization": "Bearer"}, 401),
    ({"bearer": ["new"], "basic": ["ann:old"]}, {"authorization": "Bearer new"}, 401),
    ({"allow_from": ["127.0.0.0/8"]}, {}, 200),
    ({"allow_from": ["192.0.2.0/24", "::1/128"]}, {}, 401),
    ({"allow_from": ["192.0.2.0/24"]}, {"x-forwarded-for": "192.0.2.7"}, 401),
    ({"allow_from": ["127.0.0.0/8"], "bearer": "s"}, {}, 401),
]


async def test_every_check_that_a_channel_asks_for_must_hold(database_url: str) -> None:
    channels = {f"c{row}": {**OPEN, **checks} for row, (checks, _, _) in enumerate(AUTHENTICATION)}
    async with running(database_url, channels) as receiver:
        answers = [
            await receiver.client.post(receiver.hook(f"c{row}"), content=DELIVERED, headers=headers)
            for row, (_, headers, _) in enumerate(AUTHENTICATION)
        ]

        assert [status for _, _, status in AUTHENTICATION] == [answer.status_code for answer in answers]
        assert ["applied" if status == 200 else "unverified" for _, _, status in AUTHENTICATION] == (
            await receiver.states()
        )


FORWARDED = [
    ("192.0.2.7", 200),
    ("192.0.2.7:40312", 200),
    ("2001:db8::7", 200),
    ("[2001:db8::7]:40312", 200),
    ("::ffff:192.0.2.7", 200),
    ("192.0.2.7, 10.0.0.5", 200),
    ("198.51.100.1, 192.0.2.7", 200),
    ("192.0.2.7, 198.51.100.1", 401),
    ("198.51.100.1", 401),
    ("unknown", 401),
    ("192.0.2.7,", 401),
    ("", 401),
]


async def test_of_forwarded_addresses_the_last_one_that_is_no_proxy_of_ours_counts(database_url: str) -> None:
    """What stands before it the caller may have written himself."""
    channels = {CHANNEL: {**OPEN, "allow_from": ["192.0.2.0/24", "2001:db8::/32"]}}
    proxies = ["127.0.0.1/32", "10.0.0.0/8"]
    async with running(database_url, channels, trusted_proxies=proxies) as receiver:
        answers = [
            await receiver.client.post(
                receiver.hook(), content=DELIVERED, headers={"x-forwarded-for": forwarded}
            )
            for forwarded, _ in FORWARDED
        ]

        assert dict(FORWARDED) == {
            forwarded: answer.status_code for (forwarded, _), answer in zip(FORWARDED, answers, strict=True)
        }


async def test_a_request_that_fails_its_check_is_kept_apart_with_its_signature(database_url: str) -> None:
    async with running(database_url, {CHANNEL: {**OPEN, "bearer": "right"}}) as receiver:
        headers = {"authorization": "Bearer wrong", "x-signature": "v1=abc"}
        await receiver.client.post(receiver.hook(), content=DELIVERED, headers=headers)

        [payload] = await receiver.payloads()
        assert ("unverified", "authentication failed", DELIVERED) == (
            payload["state"],
            payload["reason"],
            payload["body"],
        )
        kept = orjson.loads(payload["headers"])
        assert ("v1=abc", True) == (kept["x-signature"], kept["authorization"].startswith("hmac:"))
        assert [] == await receiver.rows("SELECT id FROM postback.message")
