"""A name whose look-up hangs keeps nobody waiting but those who need it."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from ipaddress import ip_network

import pytest

from models.sends import Call
from receiver.http import Client, NotSent, Poster, resolving
from tests.support.names import resolve
from tests.support.sockets import serving

LOOPBACK = [ip_network("127.0.0.0/8")]
#: more than the default pool of any machine has threads
SLOW = [f"slow-{number}.example" for number in range(40)]
TRY_AGAIN = socket.gaierror(socket.EAI_AGAIN, "try again")


@pytest.fixture
def hanging() -> Iterator[threading.Event]:
    """Names whose look-up waits for this hang until the test is over."""
    until = threading.Event()
    yield until
    until.set()


def slowly(until: threading.Event) -> list[str]:
    until.wait(60)
    return ["127.0.0.1"]


async def test_slow_names_of_subscribers_hold_up_neither_carriers_nor_others_nor_files(
    monkeypatch: pytest.MonkeyPatch, hanging: threading.Event
) -> None:
    names = dict.fromkeys(SLOW, lambda: slowly(hanging))
    resolve(monkeypatch, {**names, "carrier.example": ["127.0.0.1"], "sound.example": ["127.0.0.1"]})
    async with serving() as server, Poster(LOOPBACK) as poster, Client() as client:
        port = server.port
        waiting = [asyncio.create_task(poster.post(f"http://{n}:{port}/", {}, b"", 30)) for n in SLOW]
        await asyncio.sleep(0.2)

        async with asyncio.timeout(resolving.HANGS - 1):
            answer = await client.call(Call("POST", f"http://carrier.example:{port}/", {}, b"{}"))
            posted = await poster.post(f"http://sound.example:{port}/", {}, b"{}", 10)
            written = await asyncio.to_thread(lambda: "a file")

        assert (200, 200, "a file") == (answer.status, posted.status, written)
        failures = await asyncio.gather(*waiting, return_exceptions=True)
        assert {NotSent} == {type(failure) for failure in failures}


async def test_a_name_is_looked_up_once_for_all_who_wait_for_it_and_one_that_hangs_is_not_waited_for_again(
    monkeypatch: pytest.MonkeyPatch, hanging: threading.Event
) -> None:
    monkeypatch.setattr(resolving, "HANGS", 0.3)
    asked = resolve(monkeypatch, {"slow.example": lambda: slowly(hanging)})
    resolver = resolving.Resolver(4)

    waiting = [asyncio.create_task(resolver.addresses("slow.example", 443)) for _ in range(50)]
    await asyncio.sleep(0.5)
    with pytest.raises(NotSent, match="was not looked up"):
        await resolver.addresses("slow.example", 443)
    waiting[0].cancel()  # and takes nothing from the others
    hanging.set()

    assert [["127.0.0.1"]] * 49 == await asyncio.gather(*waiting[1:])
    assert ["slow.example"] == asked
    assert ["127.0.0.1"] == await resolver.addresses("slow.example", 443)


async def test_more_names_than_have_a_place_are_refused_at_once(
    monkeypatch: pytest.MonkeyPatch, hanging: threading.Event
) -> None:
    resolve(monkeypatch, dict.fromkeys(SLOW, lambda: slowly(hanging)))
    resolver = resolving.Resolver(4)

    waiting = [asyncio.create_task(resolver.addresses(name, 443)) for name in SLOW]
    await asyncio.sleep(0.2)
    refused = [task for task in waiting if task.done()]
    hanging.set()
    answers = await asyncio.gather(*waiting, return_exceptions=True)

    assert 36 == len(refused)
    assert {NotSent} == {type(task.exception()) for task in refused}
    assert [["127.0.0.1"]] * 4 == [answer for answer in answers if isinstance(answer, list)]


async def test_a_given_name_that_failed_is_not_looked_up_again_for_some_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers = [TRY_AGAIN, ["127.0.0.1"]]
    asked = resolve(monkeypatch, {"flaky.example": lambda: answers.pop(0)})
    resolver = resolving.Resolver(4, 30.0)

    for _ in range(3):
        with pytest.raises(socket.gaierror):
            await resolver.addresses("flaky.example", 443)
    assert 1 == len(asked)
    resolver.forget()

    assert ["127.0.0.1"] == await resolver.addresses("flaky.example", 443)


async def test_a_carriers_name_that_failed_is_looked_up_for_the_next_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = resolve(monkeypatch, {"carrier.example": TRY_AGAIN, "app.example": TRY_AGAIN})
    async with Client() as client, Poster(LOOPBACK) as poster:
        for _ in range(2):
            with pytest.raises(NotSent):
                await client.call(Call("POST", "http://carrier.example/", {}, b"{}"))
            with pytest.raises(NotSent):
                await poster.post("http://app.example/", {}, b"{}", 10)

    assert ["carrier.example", "app.example", "carrier.example"] == asked
