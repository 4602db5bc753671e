"""No test reaches another machine, and one that tries is found out."""

import socket

import httpx
import pytest

from tests.support import network


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1"])
def test_a_connection_to_another_machine_is_refused_and_remembered(host: str) -> None:
    with pytest.raises(network.OffTheMachine):
        socket.create_connection((host, 80))
    assert [f"{host}:80"] == network.attempts()


async def test_a_name_is_not_looked_up_even_when_the_client_swallows_the_refusal() -> None:
    async with httpx.AsyncClient() as client:
        with pytest.raises(httpx.ConnectError):
            await client.get("http://carrier.example/")
    assert ["carrier.example"] == network.attempts()


def test_loopback_is_open(free_port: int) -> None:
    with socket.create_server(("127.0.0.1", free_port)), socket.create_connection(("localhost", free_port)):
        pass
    assert [] == network.attempts()
