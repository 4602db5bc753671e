"""How long somebody waits who asks what happened to a message, while others ask too."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from statistics import median

from benchmarks import grown, load
from benchmarks.contenders import Contender
from benchmarks.grown import Past

#: questions a second, and the connections that they come over
RATE, CONNECTIONS = 100.0, 16
WORDS = ("id", "tracking-id", "client-reference")


async def measure(
    bare: Contender,
    postback: Contender,
    url: str,
    past: Past,
    key: str,
    *,
    rounds: int,
    seconds: float,
    warm_up: float,
) -> dict[str, float]:
    """p99 in milliseconds: ``by key`` for the bare route, then for each of `WORDS`; medians of *rounds*."""
    ids = await grown.some_ids(url, 1000)
    asked: Mapping[str, tuple[Contender, Callable[[int], bytes]]] = {
        "by key": (bare, _get(_by_id(ids), "")),
        "id": (postback, _get(_by_id(ids), key)),
        "tracking-id": (postback, _get(_by_tracking_id(past), key)),
        "client-reference": (postback, _get(_by_client_reference(past), key)),
    }
    found: dict[str, list[float]] = {name: [] for name in asked}
    for _ in range(rounds):
        for name, (contender, request) in asked.items():
            measured = await load.opened(
                contender.address, request, itertools.count(), rate=RATE, connections=CONNECTIONS,
                warm_up=warm_up, seconds=seconds,
            )  # fmt: skip
            if set(measured.statuses) != {200}:
                raise RuntimeError(f"lookups {name}: {dict(measured.statuses)}")
            found[name].append(measured.latency(0.99))
    return {name: round(median(latencies), 2) for name, latencies in found.items()}


def _by_id(ids: Sequence[str]) -> Callable[[int], str]:
    return lambda serial: f"/v1/messages/{ids[serial % len(ids)]}"


def _by_tracking_id(past: Past) -> Callable[[int], str]:
    return lambda serial: f"/v1/messages?provider_message_id={past.tracking_id(_spread(serial, past))}"


def _by_client_reference(past: Past) -> Callable[[int], str]:
    return lambda serial: f"/v1/messages?client_reference={past.client_reference(_spread(serial, past))}"


def _spread(serial: int, past: Past) -> int:
    """Another message each time, far from the last one."""
    return serial * 7919 % past.messages + 1


def _get(path: Callable[[int], str], key: str) -> Callable[[int], bytes]:
    authorization = f"Authorization: Bearer {key}\r\n" if key else ""
    return lambda serial: f"GET {path(serial)} HTTP/1.1\r\nHost: 127.0.0.1\r\n{authorization}\r\n".encode()
