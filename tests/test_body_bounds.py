"""What a body holds is bounded before it is read: reading it costs no more than its bytes are worth."""

import gzip
import resource
import threading
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from models.events import Request
from receiver.config import ChannelSettings
from receiver.media.form import Malformed, file_in
from receiver.providers import PROVIDERS, shape
from receiver.providers.base import Provider
from receiver.understand import aside, understood
from tests.support.cases import channel_of

MIB = 1 << 20
#: seconds of a processor that any body of a MiB may take: unbounded, the worst of these took 2.7, and 15
#: where it came compressed; the worst takes 0.2 now
DEAREST = 0.5

JSON = {
    "elements": b"[" + b"{}," * (MIB // 3) + b"{}]",
    "numbers": b'{"to":[' + b"0," * (MIB // 2) + b"0]}",
    "recipients": b'{"batch_id":"1","statuses":[{"recipients":[' + b'"1",' * (MIB // 4) + b'"1"]}]}',
    "as many as are read": b'{"batch_id":"1","to":[' + b'"16135550100",' * 49_000 + b'""]}',
    "keys": b"{" + b",".join(b'"%d":0' % number for number in range(MIB // 10)) + b"}",
    "one key again and again": b"{" + b'"a":0,' * (MIB // 6) + b'"a":0}',
    "arrays in arrays": b"[" * MIB,
    "arrays in arrays, closed": b"[" * (MIB // 2) + b"]" * (MIB // 2),
    "objects in objects": b'{"a":' * (MIB // 5),
    "empty arrays": b"[" + b"[]," * (MIB // 3) + b"[]]",
    "in UTF-16": ("[" + "{}," * (MIB // 6) + "{}]").encode("utf-16"),
}
FORMS = {
    "fields": b"a=&" * (MIB // 3),
    "names": b"&".join(b"a[%d]=" % number for number in range(MIB // 10)),
    "percent signs": b"a=" + b"%20" * (MIB // 3),
    "parts": b"--b\r\n" * (MIB // 5),
    "empty parts": b"--b\r\n\r\n\r\n" * (MIB // 9),
    "named parts": b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n' * (MIB // 51),
    "nearly delimiters": b"--b\r\n\r\n" + b"\r\n--" * (MIB // 4),
    "headers": b"--b\r\n" + b"a:\r\n" * (MIB // 4),
}


def cost(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds of a processor that *work* takes in this process, and what it returns."""
    begun = resource.getrusage(resource.RUSAGE_SELF)
    made = work()
    ended = resource.getrusage(resource.RUSAGE_SELF)
    return ended.ru_utime - begun.ru_utime + ended.ru_stime - begun.ru_stime, made


def read(provider: Provider, body: bytes, **headers: str) -> tuple[float, tuple[str, str | None, Any]]:
    request = Request("POST", b"", {name.replace("_", "-"): value for name, value in headers.items()}, body)
    return cost(lambda: understood(provider, channel(provider), request))


def channel(provider: Provider) -> ChannelSettings:
    return channel_of(provider.name)


@pytest.mark.parametrize("name", sorted(PROVIDERS))
def test_a_body_of_a_mebibyte_costs_little_whatever_it_holds(name: str) -> None:
    dear = {}
    for what, body in [*JSON.items(), *FORMS.items()]:
        seconds, (state, reason, events) = read(PROVIDERS[name], body)
        if seconds > DEAREST or len(events) > shape.MOST_EVENTS:
            dear[what] = seconds, state, reason

    assert {} == dear


@pytest.mark.parametrize("name", sorted(PROVIDERS))
def test_a_small_body_that_unpacks_to_many_elements_is_not_read(name: str) -> None:
    packed = gzip.compress(JSON["elements"], 9)

    seconds, (state, reason, _) = read(PROVIDERS[name], packed, content_encoding="gzip")

    assert ("quarantined", True) == (state, seconds < DEAREST / 5)
    assert "times its size" in (reason or "")


#: by the reason for which it is kept unread
BEYOND = {
    "the body tells 1001 events; at most 1000 are taken": b"[" + b"{}," * shape.MOST_EVENTS + b"{}]",
    "the body holds more than 50000 values; it is kept unread": JSON["numbers"],
    "the body is JSON nested too deep": b'{"a":' + b"[" * 500 + b"]" * 500 + b"}",
    "an object in the body has more than 1000 keys; it is kept unread": orjson.dumps(
        {"data": {str(number): 0 for number in range(shape.MOST_KEYS + 1)}}
    ),
}
FORM_BEYOND = {
    "the form has more than 1000 fields; it is kept unread": b"a=&" * shape.MOST_FIELDS + b"a=",
    "the form has more than 100 parts; it is kept unread": b"--b\r\n\r\n\r\n" * 101 + b"--b--\r\n",
}


@pytest.mark.parametrize("name", sorted(PROVIDERS))
def test_a_body_beyond_a_bound_is_kept_with_the_bound_for_its_reason(name: str) -> None:
    bodies = BEYOND | (FORM_BEYOND if name == "voicetel" else {})

    told = [read(PROVIDERS[name], body)[1] for body in bodies.values()]

    assert [("quarantined", reason, []) for reason in bodies] == told


@pytest.mark.asyncio
async def test_large_and_compressed_bodies_are_read_beside_the_event_loop() -> None:
    here = threading.get_ident()
    sizes = {"small": (100, {}), "large": (MIB, {}), "compressed": (100, {"content-encoding": "gzip"})}

    read_in = {
        what: await aside(Request("POST", b"", headers, bytes(size)), threading.get_ident)
        for what, (size, headers) in sizes.items()
    }

    assert {"small"} == {what for what, thread in read_in.items() if thread == here}
    assert read_in["large"] == read_in["compressed"]


UPLOADS = {
    "empty parts": b"--b\r\n\r\n\r\n" * (5 * MIB // 9),
    "delimiters": b"--b\r\n" * MIB,
    "headers": b"--b\r\n" + b"a:\r\n" * (5 * MIB // 4) + b"\r\n\r\n--b--\r\n",
    "one header": b"--b\r\n" + b"a" * (5 * MIB) + b"\r\n\r\n\r\n--b--\r\n",
    "nearly delimiters": b"--b\r\n\r\n" + b"\r\n--" * (5 * MIB // 4) + b"\r\n--b--\r\n",
    "blanks": b" " * (5 * MIB),
}


@pytest.mark.parametrize("what", UPLOADS)
def test_a_form_of_five_mebibytes_costs_little_whatever_it_holds(what: str) -> None:
    def refused() -> bool:
        with pytest.raises(Malformed):
            file_in(UPLOADS[what], "multipart/form-data; boundary=b")
        return True

    seconds, _ = cost(refused)

    assert seconds < DEAREST
