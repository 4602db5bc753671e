"""HTTP as callers really speak it, byte by byte: slow, broken, pipelined, endless."""

import asyncio
import re
import socket
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import pytest
import pytest_asyncio

from receiver.protocol import BoundedProtocol
from tests.support.beds import Bed
from tests.support.idle import idle
from tests.support.patience import PATIENCE
from tests.support.receiver import CHANNEL, TOKEN, Receiver, copied, running

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOOK = f"/hooks/{CHANNEL}/{TOKEN}".encode()
REPORT = b'{"code": "N102", "tracking-id": "a"}'
DEADLINE = 0.25


class Hasty(BoundedProtocol):
    deadline = DEADLINE
    linger = 0.1
    unread = 0.5
    largest_headers = 4096


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def started(bed: Bed, template_url: str) -> AsyncIterator[Receiver]:
    url = await copied(bed, template_url, "protocol")
    async with running(url, protocol=Hasty) as receiver:
        yield receiver


@pytest_asyncio.fixture(loop_scope="module")
async def receiver(started: Receiver) -> Receiver:
    await started.empty()
    return started


def request(body: bytes = REPORT, *headers: bytes, method: bytes = b"POST", target: bytes = HOOK) -> bytes:
    head = [method + b" " + target + b" HTTP/1.1", b"host: a", b"content-length: %d" % len(body), *headers]
    return b"\r\n".join([*head, b"", body])


async def spoken(receiver: Receiver, *said: bytes, pause: float = 0, hang_up: bool = False) -> bytes:
    """Everything that the receiver answers to *said* until it closes the connection.

    *pause*: seconds between two parts. *hang_up*: close our side as soon as all is said.
    """
    reader, writer = await asyncio.open_connection(*receiver.address)
    try:
        async with asyncio.timeout(PATIENCE):
            for part in said:
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(pause)
            if hang_up:
                writer.write_eof()
            return await reader.read()
    except (ConnectionResetError, BrokenPipeError):
        return b"reset"
    finally:
        writer.close()


def connections(receiver: Receiver) -> list[BoundedProtocol]:
    return [one for one in receiver.server.server_state.connections if isinstance(one, BoundedProtocol)]


def statuses(answer: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", answer)]


@dataclass(frozen=True)
class Dripped:
    """What came until the connection was closed, and how many seconds that took: on the wall's clock, and on
    one that only goes while nobody has anything to do."""

    answer: bytes
    seconds: float
    idle: float


async def dripped(receiver: Receiver, begun: bytes, drops: Sequence[bytes]) -> Dripped:
    """What comes back to *begun* followed by a drop every 50 ms."""
    async with idle() as clock, asyncio.timeout(PATIENCE):
        start = time.monotonic()
        reader, writer = await asyncio.open_connection(*receiver.address)
        writer.write(begun)
        answered = asyncio.create_task(reader.read())
        for drop in drops:
            await asyncio.wait({answered}, timeout=0.05)
            if answered.done():
                break
            writer.write(drop)
        answer, seconds = await answered, time.monotonic() - start
    writer.close()
    return Dripped(answer, seconds, clock.seconds)


SLOW = {
    "a request line": (b"POST ", [b"/"] * 100, [408]),
    "headers": (b"POST " + HOOK + b" HTTP/1.1\r\n", [b"a: b\r\n"] * 100, [408]),
    "empty lines before a request": (b"\r\n", [b"\r\n"] * 100, [408]),
    "a body": (request() .replace(b": 36", b": 999"), [b" "] * 100, [408]),
    "chunks": (request(b"", b"transfer-encoding: chunked").replace(b"content-length: 0\r\n", b""),
               [b"1\r\n \r\n"] * 100, [408]),
    "a body at no address": (request(b"", target=b"/hooks/a/b").replace(b": 0", b": 999"),
                             [b" "] * 100, [404]),
    "headers of a second request": (request() + b"POST ", [b"/"] * 100, [200, 408]),
}  # fmt: skip


@pytest.mark.parametrize("what", SLOW)
async def test_a_caller_who_drips_bytes_does_not_keep_his_connection(receiver: Receiver, what: str) -> None:
    """At most the deadline for an answer, and as much again for the rest of a body that nobody waits for."""
    begun, drops, expected = SLOW[what]

    came = await dripped(receiver, begun, drops)

    assert expected == statuses(came.answer)
    assert DEADLINE * 0.9 < came.seconds
    assert came.idle < DEADLINE * 2 + 0.5


async def test_headers_and_body_of_a_report_have_one_deadline_together(receiver: Receiver) -> None:
    head = request().removesuffix(REPORT)
    drops = [head[at : at + 24] for at in range(10, len(head), 24)] + [b" "] * 100

    came = await dripped(receiver, head[:10], drops)

    assert [408] == statuses(came.answer)
    assert DEADLINE * 0.9 < came.seconds
    assert came.idle < DEADLINE * 1.5
    assert [] == await receiver.payloads()


async def test_a_slow_body_does_not_cost_the_requests_before_it_their_answers(receiver: Receiver) -> None:
    begun = request() + request(b'{"code": "N101", "tracking-id": "a"}')
    slow = request().replace(b": 36", b": 999")

    came = await dripped(receiver, begun + slow, [b" "] * 100)

    assert [200, 200, 408] == statuses(came.answer)
    assert 2 == len(await receiver.payloads())


async def test_another_body_has_the_time_that_its_reader_gives_it(receiver: Receiver) -> None:
    """Only reports are sure to be short."""
    headers = [b"authorization: Bearer " + receiver.key.encode(), b"content-type: application/json"]
    head = request(b" " * 12, *headers, b"connection: close", target=b"/v1/messages").rstrip(b" ")

    came = await dripped(receiver, head, [b" "] * 12)

    assert [422] == statuses(came.answer)
    assert came.seconds > DEADLINE * 2


async def test_a_caller_who_never_says_anything_is_left_without_a_word(receiver: Receiver) -> None:
    """An answer might be taken for that to the request which he sends at that very moment."""
    assert b"" == await spoken(receiver)


async def test_slow_callers_keep_nobody_waiting(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Hasty, "deadline", 3.0)  # so that a busy machine has heard them by then
    slow = [asyncio.create_task(spoken(receiver, b"POST " + HOOK)) for _ in range(200)]
    await asyncio.sleep(0.05)

    async with idle() as clock:
        answer = await receiver.client.post(receiver.hook(), content=REPORT)
        took = clock.seconds

    assert 200 == answer.status_code
    assert took < 1
    assert [[408]] * 200 == [statuses(answer) for answer in await asyncio.gather(*slow)]
    async with asyncio.timeout(PATIENCE):
        while len(receiver.server.server_state.connections) > 1:  # noqa: ASYNC110 - that of the quick one
            await asyncio.sleep(0.01)


LARGE = {
    "one header without end": [b"POST " + HOOK + b" HTTP/1.1\r\na: ", *[b"x" * 512] * 9],
    "many headers": [b"POST " + HOOK + b" HTTP/1.1\r\n", *[b"a: b\r\n"] * 700],
    "an address without end": [b"POST /", *[b"x" * 512] * 9],
    "all at once": [request(REPORT, b"a: " + b"x" * 4096)],
    "a long address with a request after it": [request(target=b"/" + b"x" * 4096) + request()],
}


@pytest.mark.parametrize("what", LARGE)
async def test_headers_that_are_too_large_are_refused(receiver: Receiver, what: str) -> None:
    assert [431] == statuses(await spoken(receiver, *LARGE[what]))
    assert [] == await receiver.payloads()


async def test_headers_just_within_the_limit_are_fine_and_a_large_body_counts_for_none(
    receiver: Receiver,
) -> None:
    body = REPORT.ljust(100_000)

    answer = await spoken(receiver, request(body, b"a: " + b"x" * 3900, b"connection: close"))

    assert [200] == statuses(answer)
    assert [body] == [payload["body"] for payload in await receiver.payloads()]


async def test_pipelined_requests_are_answered_in_their_order(receiver: Receiver) -> None:
    said = [
        request(),
        request(b"", target=b"/hooks/a/b"),
        request(b"garbage"),
        request(b"", method=b"HEAD"),
        request(b"", method=b"PUT"),
        request(b'{"code": "N101", "tracking-id": "a"}', b"connection: close"),
    ]

    assert [200, 404, 200, 200, 405, 200] == statuses(await spoken(receiver, b"".join(said)))
    assert 3 == len(await receiver.payloads())


async def test_who_pipelines_without_end_is_answered_so_far_and_no_further(receiver: Receiver) -> None:
    """A request that waits takes some kilobytes, and one read from the socket holds thousands."""
    longest, nowhere = 0, request(b"", target=b"/hooks/a/b")
    done = asyncio.create_task(spoken(receiver, nowhere * 20_000))
    while not done.done():
        longest = max([longest, *(len(one.pipeline) for one in connections(receiver))])
        await asyncio.sleep(0)

    assert Hasty.longest_pipeline == longest
    assert {404} == set(statuses(await done))


async def test_a_caller_who_does_not_read_his_answers_does_not_keep_his_connection(
    receiver: Receiver,
) -> None:
    loop = asyncio.get_running_loop()
    with socket.socket() as caller:
        caller.setblocking(False)
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        others = set(connections(receiver))
        await loop.sock_connect(caller, receiver.address)
        async with asyncio.timeout(PATIENCE):
            while not (connected := set(connections(receiver)) - others):  # noqa: ASYNC110 - the server's
                await asyncio.sleep(0.01)
            [theirs] = connected
            # the kernel's own room, which would take megabytes of answers
            theirs.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
            while not theirs.flow.write_paused:
                last = time.monotonic()
                await loop.sock_sendall(caller, request(b"", target=b"/hooks/a/b") * 20)
                await asyncio.sleep(0.01)
            async with idle() as clock:
                while theirs in connections(receiver):  # noqa: ASYNC110 - the server's
                    await asyncio.sleep(0.01)

    assert Hasty.unread * 0.9 < time.monotonic() - last
    assert clock.seconds < Hasty.unread + 0.5


async def test_a_request_that_comes_byte_by_byte_is_a_request(receiver: Receiver) -> None:
    whole = request(REPORT, b"connection: close")

    answer = await spoken(receiver, *(whole[at : at + 1] for at in range(len(whole))))

    assert [200] == statuses(answer)
    assert [REPORT] == [payload["body"] for payload in await receiver.payloads()]


async def test_a_connection_serves_many_requests_and_outlives_the_deadline_between_them(
    receiver: Receiver,
) -> None:
    said = [request(), b"", request(), request(REPORT, b"connection: close")]

    answer = await spoken(receiver, *said, pause=DEADLINE * 0.7)

    assert [200, 200, 200] == statuses(answer)


@pytest.mark.parametrize("target", [b"/hooks/a/b", b"/hooks/" + CHANNEL.encode() + b"/wrong"])
async def test_a_refusal_before_the_body_does_not_spoil_the_next_request(
    receiver: Receiver, target: bytes
) -> None:
    """The body is read to its end, so it is not taken for the next request, nor is the answer lost."""
    body = b"POST / HTTP/1.1\r\n\r\n" * 50_000

    answer = await spoken(receiver, request(body, target=target) + request(REPORT, b"connection: close"))

    assert [404, 200] == statuses(answer)
    assert [REPORT] == [payload["body"] for payload in await receiver.payloads()]


async def test_an_idle_connection_ends_after_its_keep_alive_even_if_its_answer_came_first(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiver.server.config, "timeout_keep_alive", 0.2)
    early = request(b"", target=b"/hooks/a/b").replace(b": 0", b": 2")

    for said in ([request()], [early, b" ", b" "]):
        answer = await spoken(receiver, *said, pause=0.02)
        assert 1 == len(statuses(answer))


async def test_who_asks_before_sending_a_body_is_told_to_go_on(receiver: Receiver) -> None:
    head, body = request(REPORT, b"expect: 100-continue", b"connection: close").split(b"\r\n\r\n")

    assert [100, 200] == statuses(await spoken(receiver, head + b"\r\n\r\n", body, pause=0.05))


async def test_who_asks_before_sending_a_body_and_is_refused_loses_the_connection(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """He may leave the body out, or not: what follows could be either."""
    monkeypatch.setattr(Hasty, "deadline", 10 * PATIENCE)  # it is not for its slowness
    head = request(REPORT, b"expect: 100-continue", target=b"/hooks/a/b").removesuffix(REPORT)

    assert [404] == statuses(await spoken(receiver, head))


OFFER = (b"connection: upgrade, http2-settings", b"upgrade: h2c", b"http2-settings: AAEAAEAAAAIAAAAB")
LAST = request(b"last", b"connection: close")
CHUNKED = b"\r\n".join(
    [b"POST " + HOOK + b" HTTP/1.1", b"host: a", b"transfer-encoding: chunked", *OFFER, b"", b""]
)
OFFERS = {
    "at once": ([request(b"one", *OFFER) + request(b"two", *OFFER) + LAST], [b"one", b"two", b"last"]),
    "head and body apart": ([request(b"one", *OFFER)[:-2], b"ne", LAST], [b"one", b"last"]),
    "chunked": ([CHUNKED, b"2\r\non\r\n1\r\n", b"e\r\n0\r\n\r\n", LAST], [b"one", b"last"]),
    "with nothing to follow": ([request(b"one", *OFFER[1:], b"connection: upgrade, close")], [b"one"]),
    "very often": ([request(b"one", *OFFER) * 300 + LAST], [b"one"] * 300 + [b"last"]),
}


@pytest.mark.parametrize("what", OFFERS)
async def test_a_client_that_offers_another_protocol_is_served_in_this_one(
    receiver: Receiver, what: str
) -> None:
    """Java's HTTP client offers h2c with every request to a plain address."""
    said, sent = OFFERS[what]

    answer = await spoken(receiver, *said, pause=0.02)

    assert [200] * len(sent) == statuses(answer)
    assert sent == [payload["body"] for payload in await receiver.payloads()]


ODD_TARGETS = {
    b"/hooks/\xff/\xfe": 400,
    "/hooks/sinch-us/ключ".encode(): 400,
    b"/hooks/sinch-us/\x01": 400,
    b"/hooks/%": 404,
    b"/hooks/%ZZ/%": 404,
    b"/hooks/%FF/%FE": 404,
    b"/hooks/%00/%00": 404,
    b"/hooks/%ED%A0%80/%ED%B0%80": 404,
    b"/hooks/..%2f..%2fetc/passwd": 404,
    b"//hooks/" + CHANNEL.encode() + b"/" + TOKEN.encode(): 404,
    b"/hooks": 404,
    b"/hooks/": 404,
    b"/%ff%fe": 404,
    b"*": 404,
    b"http://elsewhere.example" + HOOK: 200,
    HOOK + b"#fragment": 200,
    HOOK + b'?%00=%FF&=&&<>"{}|^`': 200,
    HOOK + b"?\x80=\xff": 400,
}


async def test_no_address_is_so_odd_that_it_breaks_the_receiver(receiver: Receiver) -> None:
    answers = {
        target: statuses(await spoken(receiver, request(REPORT, b"connection: close", target=target)))
        for target in ODD_TARGETS
    }

    assert {target: [status] for target, status in ODD_TARGETS.items()} == answers


BROKEN = {
    "a body shorter than announced": request(REPORT, b"x: y").replace(b": 36", b": 37"),
    "a length that is no number": request().replace(b": 36", b": x"),
    "a negative length": request().replace(b": 36", b": -36"),
    "a superscript length": request().replace(b": 36", b": \xb2"),
    "a length that no integer holds": request().replace(b": 36", b": " + b"9" * 40),
    "two lengths": request(REPORT, b"content-length: 7"),
    "a length beside chunks": request(REPORT, b"transfer-encoding: chunked"),
    "a chunk of no size": request(b"zz\r\n", b"transfer-encoding: chunked")
    .replace(b"content-length: 4\r\n", b""),
    "another protocol": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100),
    "a tunnel": b"CONNECT example.org:443 HTTP/1.1\r\nhost: a\r\n\r\n",
    "HTTP/2 without asking": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9),
    "no protocol": b"hello\r\n\r\n",
    "half a request": b"POST " + HOOK + b" HTTP/1.1\r\nhost",
}  # fmt: skip


@pytest.mark.parametrize("what", BROKEN)
async def test_a_broken_request_is_no_request_and_breaks_nothing(receiver: Receiver, what: str) -> None:
    answer = await spoken(receiver, BROKEN[what], hang_up=True)

    assert not {200, 500} & set(statuses(answer))
    assert [] == await receiver.payloads()
    assert 200 == (await receiver.client.post(receiver.hook(), content=REPORT)).status_code


def head(version: str, *headers: bytes, method: bytes = b"POST") -> bytes:
    return b"\r\n".join([method + b" " + HOOK + b" HTTP/" + version.encode(), *headers, b"", b""])


CHUNKS = b"24\r\n" + REPORT + b"\r\n0\r\n\r\n"
LENGTH = b"content-length: 36"
TWO_READINGS = {
    "no host": (head("1.1", LENGTH) + REPORT, 400),
    "no host and nothing else": (head("1.1", method=b"GET"), 400),
    "two hosts": (head("1.1", b"host: a", b"Host: b", LENGTH) + REPORT, 400),
    "the same host twice": (head("1.1", b"host: a", b"host: a", LENGTH) + REPORT, 400),
    "two hosts in HTTP/1.0": (head("1.0", b"host: a", b"host: b", LENGTH) + REPORT, 400),
    "a host with a path": (head("1.1", b"host: a/b", LENGTH) + REPORT, 400),
    "a host with somebody before it": (head("1.1", b"host: a@b", LENGTH) + REPORT, 400),
    "two names in a host": (head("1.1", b"host: a b", LENGTH) + REPORT, 400),
    "a host with bytes beyond ASCII": (head("1.1", b"host: \xe4", LENGTH) + REPORT, 400),
    "HTTP/2.0": (head("2.0", b"host: a", LENGTH) + REPORT, 400),
    "HTTP/0.9": (head("0.9", b"host: a", LENGTH) + REPORT, 400),
    "no version": (b"GET " + HOOK + b"?a=b\r\n\r\n", 400),
    "chunks in HTTP/1.0": (head("1.0", b"host: a", b"transfer-encoding: chunked") + CHUNKS, 400),
    "chunks in HTTP/1.0 without a host": (head("1.0", b"Transfer-Encoding: chunked") + CHUNKS, 400),
    "a body without a length in HTTP/1.0": (head("1.0") + REPORT, 411),
    "the same of a connection to be kept": (head("1.0", b"connection: keep-alive") + REPORT, 411),
    "another method with a body": (head("1.0", method=b"PATCH") + REPORT, 411),
    "no host beside an offer": (head("1.1", b"connection: upgrade", b"upgrade: h2c", LENGTH) + REPORT, 400),
}  # fmt: skip


@pytest.mark.parametrize("what", TWO_READINGS)
async def test_a_request_that_two_readers_would_read_differently_is_refused_and_ends_its_connection(
    receiver: Receiver, what: str
) -> None:
    said, expected = TWO_READINGS[what]

    answer = await spoken(receiver, said + request())

    assert [expected] == statuses(answer)
    assert [] == await receiver.payloads()


async def test_such_a_request_does_not_cost_those_before_it_their_answers(receiver: Receiver) -> None:
    answer = await spoken(receiver, request() + head("1.1", LENGTH) + REPORT)

    assert [200] == statuses(answer)
    assert [REPORT] == [payload["body"] for payload in await receiver.payloads()]


ONE_READING = {
    "an older version without a host": head("1.0", LENGTH) + REPORT,
    "an older version with one": head("1.0", b"host: a", LENGTH) + REPORT,
    "a name with a port": head("1.1", b"host: sms_gate.example:8080", LENGTH, b"connection: close") + REPORT,
    "an address": head("1.1", b"host: [2001:db8::1]:80", LENGTH, b"connection: close") + REPORT,
    "a host of which nothing is said": head("1.1", b"host:", LENGTH, b"connection: close") + REPORT,
    "chunks": head("1.1", b"host: a", b"transfer-encoding: chunked", b"connection: close") + CHUNKS,
}  # fmt: skip


@pytest.mark.parametrize("what", ONE_READING)
async def test_a_request_that_can_be_read_in_one_way_is_taken(receiver: Receiver, what: str) -> None:
    answer = await spoken(receiver, ONE_READING[what])

    assert [200] == statuses(answer)
    assert [REPORT] == [payload["body"] for payload in await receiver.payloads()]


async def test_a_probe_in_an_older_version_is_answered(receiver: Receiver) -> None:
    probes = [head("1.0", method=b"GET"), head("1.0", method=b"HEAD"), head("1.0", b"content-length: 0")]

    assert [[200]] * 3 == [statuses(await spoken(receiver, probe)) for probe in probes]


async def test_a_body_longer_than_announced_is_cut_where_it_was_announced_to_end(receiver: Receiver) -> None:
    answer = await spoken(receiver, request() + b"and more\r\n\r\n")

    assert [200] == statuses(answer)
    assert [REPORT] == [payload["body"] for payload in await receiver.payloads()]


class Parting(BoundedProtocol):
    """Stays for a caller on a busy machine, who takes his time between two requests."""

    parting = PATIENCE


async def test_what_a_caller_has_just_sent_is_answered_when_the_server_is_told_to_stop(
    bed: Bed, template_url: str
) -> None:
    """He asks again and again on one connection; the last answer says that it is the last."""
    url = await copied(bed, template_url, "stopping")
    async with running(url, protocol=Parting) as stopping, asyncio.timeout(PATIENCE):
        reader, writer = await asyncio.open_connection(*stopping.address)
        asked = 0
        heads: list[bytes] = []
        while not heads or b"connection: close" not in heads[-1]:
            if asked == 3:
                stopping.server.stop()
            writer.write(request())
            asked += 1
            heads.append(await reader.readuntil(b"\r\n\r\n"))
            length = re.search(rb"content-length: (\d+)", heads[-1])
            assert length
            await reader.readexactly(int(length[1]))
            await asyncio.sleep(0.05)
        rest = await reader.read()
        writer.close()

    assert [200] * asked == statuses(b"".join(heads))
    assert asked > 3
    assert b"" == rest


async def test_who_pipelines_is_not_read_ahead_of_the_answers(receiver: Receiver) -> None:
    """Every answer would else read another 64 KiB, of which all but one request would wait."""
    small, large = request(b"", target=b"/hooks/a/b"), request(b" " * 60_000, target=b"/hooks/a/b")
    most = 0
    done = asyncio.create_task(spoken(receiver, small * 300 + large * 200))
    while not done.done():
        for one in connections(receiver):
            most = max(most, sum(len(cycle.body) for cycle, _ in one.pipeline))
        await asyncio.sleep(0)

    assert most < 4 * 65_536
    assert [404] * 500 == statuses(await done)
