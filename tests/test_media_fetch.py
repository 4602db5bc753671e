"""Files fetched from addresses that callers gave: public ones, and what the operator named, on every hop."""

import asyncio
import gzip
import socket
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver import addresses
from receiver.http import NotSent, Unfetchable, fetch, fetches
from tests.support.names import resolve

LOOPBACK = [ip_network("127.0.0.0/8")]
HERE = [ip_network("127.0.0.1/32")]
PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)

Answer = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


class Canary:
    """A listener that writes down every connection and the first thing that was said on it."""

    def __init__(self) -> None:
        self.port = 0
        self.heard: list[bytes] = []
        self.answer: bytes = _response(PNG, b"content-type: image/png")

    async def hear(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        place = len(self.heard)
        self.heard.append(b"")
        self.heard[place] = await reader.read(65536)
        writer.write(self.answer)
        await writer.drain()
        writer.close()


def _response(body: bytes, *headers: bytes, status: bytes = b"200 OK") -> bytes:
    lines = [b"HTTP/1.1 " + status, b"content-length: %d" % len(body), b"connection: close", *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


@asynccontextmanager
async def listening(host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[Canary]:
    canary = Canary()
    server = await asyncio.start_server(canary.hear, host, port)
    canary.port = server.sockets[0].getsockname()[1]
    async with server:
        yield canary


@pytest.fixture
async def canary() -> AsyncIterator[Canary]:
    """On 127.0.0.1 and, where the machine has it, on ::1."""
    async with listening() as found:
        try:
            second = await asyncio.start_server(found.hear, "::1", found.port)
        except OSError:
            yield found
            return
        async with second:
            yield found


async def test_a_file_of_a_named_network_is_fetched_over_plain_http(canary: Canary) -> None:
    found = await fetch(f"http://127.0.0.1:{canary.port}/a.png?b=c#d", HERE, 1000)

    assert (PNG, "image/png") == (found.content, found.content_type)
    assert canary.heard[0].startswith(b"GET /a.png?b=c HTTP/1.1\r\n")


#: what a resolver says, in place of the machine's own; to any other name it says 127.0.0.1
NAMES = {
    "loop.example": ["127.0.0.1"],
    "127.0.0.1.nip.example": ["127.0.0.1"],
    "localhost.localdomain": ["127.0.0.1"],
    "localhost.": ["127.0.0.1"],
    "sub.localhost": ["127.0.0.1", "::1"],
    "six.example": ["::1"],
    "mapped.example": ["::ffff:127.0.0.1"],
    "translated.example": ["64:ff9b::7f00:1"],
    "tunnel.example": ["2002:7f00:1::"],
    "zero.example": ["0.0.0.0"],
    "scoped.example": ["fe80::1%lo"],
    "mixed.example": ["8.8.8.8", "127.0.0.1"],
    "metadata.google.internal": ["169.254.169.254"],
    "intranet.example": ["10.0.0.1"],
    "xn--lcalhost-54a.example": ["127.0.0.1"],
    "silent.example": [],
}
#: Every way that we know of to write an address of this machine, or of a network that is nobody's business.
#: An attempt to leave the machine fails the test too (tests/support/network.py).
FORMS = [
    # IPv4, in the spellings that one resolver or another takes for an address
    "127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.0.0.1", "0x7F.1", "0177.0.0.1",
    "017700000001", "0177.1", "127.0.0.01", "127.0.0.1.", "127.0.0.1..", "127.000.000.001", "127.0.0.0x1",
    "127.255.255.254", "0", "0.0.0.0", "0x0", "00000000", "4294967295", "255.255.255.255", "1.1.1.1.1",
    "18446744071545389057", "127。0。0。1", "①②⑦.⓪.⓪.①", "127%2e0%2e0%2e1", "%31%32%37.0.0.1",
    "\uff11\uff12\uff17.0.0.1", "\u0967\u0968\u096d.\u0966.\u0966.\u0967",
    "127.0.0.1%00", "127.0.0.1%20", "127.0.0.1%09",
    # networks of nobody, of neighbours, of cloud providers
    "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "100.100.100.200",
    "192.0.0.192", "168.63.129.16", "198.18.0.1",
    "192.0.2.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "192.88.99.1",
    "2852039166", "0xa9fea9fe", "169.254.43518",
    # IPv6, and IPv4 inside it
    "[::1]", "[::]", "[0:0:0:0:0:0:0:1]", "[0000::0001]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]",
    "[::FFFF:127.0.0.1]", "[::127.0.0.1]", "[::ffff:0:127.0.0.1]", "[64:ff9b::127.0.0.1]",
    "[64:ff9b:1::127.0.0.1]", "[2002:7f00:1::]", "[2001:0:7f00:1::]", "[fe80::1]", "[fe80::1%25lo]",
    "[::1%25lo]",
    "[fc00::1]", "[fd00:ec2::254]", "[fec0::1]", "[ff02::1]", "[2001:db8::1]", "[::ffff:169.254.169.254]",
    "[v1.fe80::1]", "[::1", "::1",
    # names, and what only looks like one
    "localhost", "LOCALHOST", "somebody@127.0.0.1", "example.com:pw@127.0.0.1", "example.com%40127.0.0.1",
    "example.com@loop.example", "127.0.0.1\\@example.invalid", "ⓛoop.example", "", *NAMES,
]  # fmt: skip


def test_there_are_more_than_sixty_forms() -> None:
    assert len(set(FORMS)) == len(FORMS) > 60


@pytest.mark.parametrize("host", FORMS)
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_no_form_of_a_private_address_gets_a_connection(
    canary: Canary, monkeypatch: pytest.MonkeyPatch, scheme: str, host: str
) -> None:
    resolve(monkeypatch, defaultdict(lambda: ["127.0.0.1"], NAMES))
    _take_any_port_for_443(monkeypatch)

    with pytest.raises((Unfetchable, NotSent)):
        await fetch(f"{scheme}://{host}:{canary.port}/", [ip_network("203.0.113.0/24")], 1000)
    await asyncio.sleep(0)

    assert [] == canary.heard


@pytest.mark.parametrize("host", FORMS)
async def test_no_redirect_to_one_does_either(
    canary: Canary, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    resolve(monkeypatch, defaultdict(lambda: ["127.0.0.1"], NAMES))
    _take_any_port_for_443(monkeypatch)
    async with listening("127.0.0.2") as first:
        location = f"location: http://{host}:{canary.port}/".encode()
        first.answer = _response(b"", location, status=b"302 Found")

        with pytest.raises((Unfetchable, NotSent)):
            await fetch(f"http://127.0.0.2:{first.port}/", [ip_network("127.0.0.2/32")], 1000)

    assert 1 <= len(first.heard)  # an empty host is that of the redirect
    assert [] == canary.heard


async def test_a_name_that_leads_elsewhere_at_the_next_look_leads_to_where_it_was_checked(
    canary: Canary, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its owner answers every question with another address; so does a redirect to the same name."""
    answers = [["127.0.0.2"], ["127.0.0.1"], ["127.0.0.1"]]
    resolve(monkeypatch, {"turning.example": lambda: answers.pop(0)})
    async with await asyncio.start_server(canary.hear, "127.0.0.2", canary.port):
        canary.answer = _response(b"", b"location: /again", status=b"302 Found")

        with pytest.raises(Unfetchable, match=r"127\.0\.0\.1 is not a public address"):
            await fetch(f"http://turning.example:{canary.port}/", [ip_network("127.0.0.2/32")], 1000)

    assert 1 == len(canary.heard)
    assert [["127.0.0.1"]] == answers


@pytest.mark.parametrize("port", [22, 80, 442, 5432, 6379, 8443])
@pytest.mark.parametrize("scheme", ["http", "https", "ftp", "file", "gopher", "unix", "HTTPs"])
async def test_of_the_internet_nothing_but_https_on_443_is_even_tried(scheme: str, port: int) -> None:
    with pytest.raises(Unfetchable):
        await fetch(f"{scheme}://8.8.8.8:{port}/", [], 1000)


@pytest.mark.parametrize(
    "address",
    [
        "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "127.0.0.1", "0.0.0.0",
        "224.0.0.1", "255.255.255.255", "240.0.0.1", "192.0.2.1", "198.18.0.1", "192.88.99.1",
        "192.0.0.192", "168.63.129.16",
        "::1", "::", "fe80::1", "fc00::1", "fec0::1", "ff02::1", "ff0e::1", "2001:db8::1", "::ffff:8.8.8.8",
        "::8.8.8.8", "64:ff9b::8.8.8.8", "64:ff9b:1::1", "2002:808:808::1", "2001:0:808:808::1", "3fff::1",
    ],
)  # fmt: skip
def test_an_address_that_is_not_plainly_public_is_not_public(address: str) -> None:
    assert not addresses.public(ip_address(address))


@pytest.mark.parametrize("address", ["8.8.8.8", "203.0.114.1", "2606:4700::1", "2a00:1450::1"])
def test_an_address_of_the_internet_is_public(address: str) -> None:
    assert addresses.public(ip_address(address))


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_within_an_ipv6_one_is_never_public(inner: Any) -> None:
    for prefix in ("::ffff:0:0", "::", "64:ff9b::"):
        assert not addresses.public(IPv6Address(int(ip_address(prefix)) + int(inner)))
    assert not addresses.public(IPv6Address((0x2002 << 112) + (int(inner) << 80)))


@pytest.mark.parametrize(("scheme", "port"), [("http", 80), ("http", 443), ("https", 80), ("https", 8443)])
def test_the_internet_is_fetched_from_over_https_on_443_alone(scheme: str, port: int) -> None:
    public = [ip_address("8.8.8.8")]

    addresses.check("https", 443, public, [])
    with pytest.raises(addresses.Forbidden, match="443"):
        addresses.check(scheme, port, public, [])


def test_one_address_that_may_not_be_reached_forbids_a_name_with_others() -> None:
    mixed = [ip_address("8.8.8.8"), ip_address("10.0.0.1")]

    with pytest.raises(addresses.Forbidden, match=r"10\.0\.0\.1"):
        addresses.check("https", 443, mixed, [])
    with pytest.raises(addresses.Forbidden, match="443"):
        addresses.check("http", 80, mixed, [ip_network("10.0.0.0/8")])


async def test_a_name_that_leads_here_gets_no_connection(
    canary: Canary, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve(monkeypatch, {"files.example": ["8.8.8.8", "127.0.0.1"]})

    with pytest.raises(Unfetchable, match=r"127\.0\.0\.1 is not a public address"):
        await fetch(f"https://files.example:{canary.port}/", [], 1000)

    assert [] == canary.heard


async def test_a_name_is_looked_up_once_and_keeps_its_name_on_the_way(
    canary: Canary, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = resolve(monkeypatch, {"files.example": ["127.0.0.1"]})

    await fetch(f"http://files.example:{canary.port}/a.png", HERE, 1000)

    assert ["files.example"] == asked
    assert f"host: files.example:{canary.port}".encode() in canary.heard[0].lower()


async def test_tls_asks_for_the_name_at_the_checked_address(
    canary: Canary, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name stands in the clear in the first message of TLS."""
    resolve(monkeypatch, {"files.example": ["127.0.0.1"]})

    with pytest.raises((Unfetchable, NotSent)):
        await fetch(f"https://files.example:{canary.port}/", HERE, 1000)

    assert b"files.example" in canary.heard[0]


@pytest.mark.parametrize(
    "there",
    [
        "http://127.0.0.1:{port}/",
        "https://127.0.0.1:{port}/",
        "//127.0.0.1:{port}/",
        "http://2130706433:{port}/",
    ],
)
async def test_a_redirect_is_checked_like_the_first_address(canary: Canary, there: str) -> None:
    async with listening("127.0.0.2") as first:
        location = f"location: {there.format(port=canary.port)}".encode()
        first.answer = _response(b"", location, status=b"302 Found")

        with pytest.raises(Unfetchable):
            await fetch(f"http://127.0.0.2:{first.port}/", [ip_network("127.0.0.2/32")], 1000)

    assert 1 == len(first.heard)
    assert [] == canary.heard


async def test_a_redirect_within_a_named_network_is_followed_three_times_and_no_more(canary: Canary) -> None:
    async with listening() as first:
        first.answer = _response(b"", b"location: http://127.0.0.1:%d/" % canary.port, status=b"307 T")
        found = await fetch(f"http://127.0.0.1:{first.port}/", LOOPBACK, 1000)

        first.answer = _response(b"", b"location: /again", status=b"302 Found")
        first.heard.clear()
        with pytest.raises(Unfetchable, match="more than 3 times"):
            await fetch(f"http://127.0.0.1:{first.port}/", LOOPBACK, 1000)

    assert PNG == found.content
    assert 4 == len(first.heard)


async def test_credentials_are_for_the_first_host_alone(canary: Canary) -> None:
    async with listening("127.0.0.2") as first:
        first.answer = _response(b"", b"location: http://127.0.0.1:%d/" % canary.port, status=b"302 Found")
        await fetch(f"http://me:pw@127.0.0.2:{first.port}/", LOOPBACK, 1000)

    assert b"authorization: basic" in first.heard[0].lower()
    assert b"authorization" not in canary.heard[0].lower()


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (_response(b"", status=b"404 Not Found"), "HTTP 404"),
        (_response(bytes(1001)), "larger than 1000 bytes"),
        (b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n" + bytes(5000), "larger than 1000 bytes"),
        (_response(gzip.compress(PNG), b"content-encoding: gzip"), "compressed"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\nshort", "RemoteProtocolError"),
        (b"SSH-2.0-OpenSSH_9.9\r\n", "RemoteProtocolError"),
        (b"", "RemoteProtocolError"),
        (_response(b"", b"location: ftp://127.0.0.1/", status=b"302 Found"), "no http or https"),
        (_response(b"", b"location: http://127.0.0.1:99999/", status=b"302 Found"), "no port 99999"),
        (_response(b"", b"location: http://" + b"a" * 70 + b".example/", status=b"302 Found"), "label"),
    ],
)
async def test_what_is_no_whole_file_of_the_size_allowed_is_not_fetched(
    canary: Canary, answer: bytes, reason: str
) -> None:
    canary.answer = answer

    with pytest.raises(Unfetchable, match=reason):
        await fetch(f"http://127.0.0.1:{canary.port}/", HERE, 1000)


async def test_a_file_that_does_not_come_in_time_is_given_up(
    canary: Canary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetches, "FETCH_DEADLINE", 0.2)
    canary.answer = b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\nshort"

    async def dawdle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        await asyncio.sleep(0.5)
        writer.close()

    async with await asyncio.start_server(dawdle, "127.0.0.1", 0) as slow:
        port = slow.sockets[0].getsockname()[1]
        with pytest.raises(Unfetchable, match="did not come within"):
            await fetch(f"http://127.0.0.1:{port}/", HERE, 1000)
        await asyncio.sleep(0.4)


async def test_a_server_that_cannot_be_reached_is_worth_another_try(
    free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NotSent):
        await fetch(f"http://127.0.0.1:{free_port}/", HERE, 1000)

    resolve(monkeypatch, {"files.example": socket.gaierror(socket.EAI_AGAIN, "try again")})
    with pytest.raises(NotSent):
        await fetch("https://files.example/", [], 1000)


async def test_a_name_that_nobody_has_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve(monkeypatch, {"files.example": socket.gaierror(socket.EAI_NONAME, "no such name")})

    with pytest.raises(Unfetchable, match="no host"):
        await fetch("https://files.example/", [], 1000)


async def test_of_a_name_with_several_addresses_the_first_that_answers_gives_the_file(
    canary: Canary, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve(monkeypatch, {"files.example": ["127.0.0.9", "127.0.0.1"]})

    found = await fetch(f"http://files.example:{canary.port}/", LOOPBACK, 1000)

    assert PNG == found.content


async def test_a_proxy_of_the_environment_is_not_asked(
    canary: Canary, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with listening("127.0.0.2") as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.2:{proxy.port}")

        await fetch(f"http://127.0.0.1:{canary.port}/", HERE, 1000)

    assert [] == proxy.heard


def _take_any_port_for_443(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or the rule about ports would hide a hole in the rule about addresses: canaries do not sit on 443."""
    check = addresses.check
    monkeypatch.setattr(
        addresses, "check", lambda scheme, port, found, networks: check("https", 443, found, networks)
    )
