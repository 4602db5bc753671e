"""A name with several addresses, of which some are dead: calls, posts and fetches go to one that lives."""

import asyncio
import datetime as dt
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from ipaddress import ip_network
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from models.sends import Call
from receiver.http import AnswerLost, Client, NotSent, Poster, Unfetchable, connecting, fetch
from tests.support.names import resolve
from tests.support.sockets import serving

LOOPBACK = [ip_network("127.0.0.0/8")]
DEAD, ALIVE = "127.0.0.2", "127.0.0.1"
#: of a post, in seconds
DEADLINE = 10.0

Ask = Callable[[str], Awaitable[tuple[int, bytes]]]


async def call(url: str) -> tuple[int, bytes]:
    async with Client() as client:
        answer = await client.call(Call("POST", url, {"x-key": "k"}, b"{}"))
        return answer.status, answer.body


async def post(url: str) -> tuple[int, bytes]:
    async with Poster(LOOPBACK) as poster:
        posted = await poster.post(url, {}, b"{}", DEADLINE)
        return posted.status, posted.body


async def get(url: str) -> tuple[int, bytes]:
    return 200, (await fetch(url, LOOPBACK, 1000)).content


EVERY_WAY = pytest.mark.parametrize("ask", [call, post, get], ids=["calls", "posts", "fetches"])


@contextmanager
def black_hole(port: int) -> Iterator[None]:
    """Nobody answers at `DEAD`: its listener's queue is full, so the kernel drops who knocks."""
    with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
        listener.bind((DEAD, port))
        listener.listen(0)
        for knocking in (first, second):
            knocking.setblocking(False)
            knocking.connect_ex((DEAD, port))
        yield


@pytest.fixture(autouse=True)
def forgotten() -> None:
    connecting.forget()


@EVERY_WAY
async def test_an_address_that_refuses_gives_way_to_the_next_one_every_time(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders = [[DEAD, ALIVE], [ALIVE, DEAD]] * 20
    resolve(monkeypatch, {"two.example": lambda: orders.pop()})
    async with serving() as server:
        answers = []
        for _ in range(40):
            connecting.forget()
            answers.append(await ask(f"http://two.example:{server.port}/in"))

    assert [(200, b"ok")] * 40 == answers
    assert ([], 40) == (orders, len(server.heard))
    assert f"\r\nhost: two.example:{server.port}\r\n".encode() in server.heard[0].lower()


@EVERY_WAY
async def test_an_address_that_says_nothing_gives_way_and_is_not_tried_first_again(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve(monkeypatch, {"two.example": [DEAD, ALIVE]})
    async with serving() as server:
        with black_hole(server.port):
            begun = asyncio.get_running_loop().time()
            answers = [await ask(f"http://two.example:{server.port}/in") for _ in range(40)]
            took = asyncio.get_running_loop().time() - begun

    assert [(200, b"ok")] * 40 == answers
    assert took < 5 * connecting.CONNECT_DEADLINE, "each of them waited for the dead address"


@EVERY_WAY
async def test_the_address_that_answered_last_is_tried_first(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve(monkeypatch, {"two.example": [DEAD, ALIVE]})
    async with serving() as server:
        await ask(f"http://two.example:{server.port}/in")
        async with serving(DEAD, server.port) as back:
            await ask(f"http://two.example:{server.port}/in")
            monkeypatch.setattr(connecting, "PREFERRED", 0.0)
            await ask(f"http://two.example:{server.port}/in")

    assert (2, 1) == (len(server.heard), len(back.heard))


@pytest.mark.parametrize(
    ("ask", "failure"),
    [(call, AnswerLost), (post, AnswerLost), (get, Unfetchable)],
    ids=["call", "post", "get"],
)
async def test_after_a_request_has_left_no_other_address_is_tried(
    ask: Ask, failure: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve(monkeypatch, {"two.example": [ALIVE, DEAD]})
    async with serving(answer=b"") as first, serving(DEAD, first.port) as second:
        with pytest.raises(failure, match="disconnected"):
            await ask(f"http://two.example:{first.port}/in")

    assert (1, []) == (len(first.heard), second.heard)


@EVERY_WAY
async def test_where_no_address_can_be_connected_to_nothing_was_sent(
    ask: Ask, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve(monkeypatch, {"dead.example": [DEAD, ALIVE], "silent.example": []})

    with pytest.raises(NotSent, match=ALIVE.replace(".", r"\.")):
        await ask(f"http://dead.example:{free_port}/in")
    with pytest.raises(NotSent, match="no address"):
        await ask(f"http://silent.example:{free_port}/in")


@pytest.mark.parametrize(
    ("ask", "failure"), [(call, NotSent), (post, NotSent), (get, Unfetchable)], ids=["call", "post", "get"]
)
async def test_a_certificate_of_somebody_else_is_said_and_no_other_address_is_tried(
    ask: Ask, failure: type[Exception], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ours, other = certified("two.example", tmp_path), certified("other.example", tmp_path)
    trusting = ssl.create_default_context(cafile=str(tmp_path / "two.example.crt"))
    trusting.load_verify_locations(tmp_path / "other.example.crt")
    monkeypatch.setattr(connecting, "tls", lambda: trusting)
    resolve(monkeypatch, {"two.example": [ALIVE, DEAD]})
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(serving(tls=other))
        second = await stack.enter_async_context(serving(DEAD, first.port, tls=ours))
        with pytest.raises(failure, match=r"not valid for 'two\.example'"):
            await ask(f"https://two.example:{first.port}/in")

    assert ([], []) == (first.heard, second.heard)


@EVERY_WAY
async def test_the_certificate_is_that_of_the_name_at_whichever_address(
    ask: Ask, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ours = certified("two.example", tmp_path)
    trusting = ssl.create_default_context(cafile=str(tmp_path / "two.example.crt"))
    monkeypatch.setattr(connecting, "tls", lambda: trusting)
    resolve(monkeypatch, {"two.example": [DEAD, ALIVE]})
    async with serving(tls=ours) as server:
        assert (200, b"ok") == await ask(f"https://two.example:{server.port}/in")


@EVERY_WAY
async def test_an_address_that_hangs_up_before_tls_gives_way(
    ask: Ask, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    ours = certified("two.example", tmp_path)
    trusting = ssl.create_default_context(cafile=str(tmp_path / "two.example.crt"))
    monkeypatch.setattr(connecting, "tls", lambda: trusting)
    resolve(monkeypatch, {"two.example": [DEAD, ALIVE]})
    async with serving(tls=ours) as server, await asyncio.start_server(hang_up, DEAD, server.port):
        assert (200, b"ok") == await ask(f"https://two.example:{server.port}/in")


@EVERY_WAY
async def test_credentials_in_an_address_are_sent_as_basic(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    resolve(monkeypatch, {"two.example": [DEAD, ALIVE]})
    async with serving() as server:
        await ask(f"http://me:p%40ss@two.example:{server.port}/in")

    assert b"\r\nauthorization: basic bWU6cEBzcw==\r\n".lower() in server.heard[0].lower()
    assert b"me:" not in server.heard[0]


async def test_a_connection_is_kept_for_the_next_call_and_the_next_post() -> None:
    async with serving() as server, Client() as client, Poster(LOOPBACK) as poster:
        url = f"http://{ALIVE}:{server.port}/in"
        for _ in range(3):
            await client.call(Call("POST", url, {}, b"{}"))
        for _ in range(3):
            await poster.post(url, {}, b"{}", DEADLINE)

    assert 2 == len(server.heard)


def certified(name: str, folder: Path) -> ssl.SSLContext:
    """A server's TLS with a certificate for *name*, which lies in *folder*, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / f"{name}.crt").write_bytes(certificate.public_bytes(pem))
    (folder / f"{name}.key").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / f"{name}.crt", folder / f"{name}.key")
    return context
