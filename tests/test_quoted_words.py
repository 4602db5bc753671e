"""Libraries that fail quote headers, addresses, answers and rows: none of these words leaves the house."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest
import structlog

from models.sends import Call
from postback import logs
from receiver import sendable
from receiver.db import statement_errors
from receiver.http import Client, NotSent
from receiver.problems import Problem
from receiver.subscribers import check_url
from tests.support.beds import connect
from tests.support.installation import installation
from tests.support.patience import PATIENCE

SECRET = "Sesame-Xanadu"
#: what no header can carry, in a key as in any other header
ODD = ["\n", "\r\n", "\0", "\x7f", "\t", " ", "ü", "\u2028", "\ud800"]


@asynccontextmanager
async def echoing(line: bytes = b"") -> AsyncIterator[tuple[str, list[bytes]]]:
    """Yields the address of a server that hears requests, and what it heard. It answers with *line* and what
    the request says behind ``authorization: Bearer``."""
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:  # a connection over which nothing was said
            writer.close()
            return
        heard.append(head)
        key = head.lower().partition(b"authorization: bearer ")[2].partition(b"\r\n")[0]
        start = head.lower().index(key)
        writer.write(line + head[start : start + len(key)] + b"\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", heard


@pytest.mark.parametrize("odd", ODD, ids=ascii)
@pytest.mark.parametrize("place", ["header", "name", "method"])
async def test_a_request_that_cannot_be_written_is_not_sent_and_its_failure_quotes_nothing(
    odd: str, place: str
) -> None:
    key = f"{SECRET}{odd}"
    async with echoing() as (url, heard), Client() as client:
        call = {
            "header": Call("POST", url, {"authorization": f"Bearer {key}"}, b"{}"),
            "name": Call("POST", url, {f"x-{key}": "1"}, b"{}"),
            "method": Call(key, url, {}, b"{}"),
        }[place]
        with pytest.raises(NotSent) as failure:
            await client.call(call)

    assert [] == heard
    shown: BaseException | None = failure.value
    while shown is not None:
        assert SECRET not in str(shown)
        shown = shown.__cause__


@pytest.mark.parametrize(
    "url", [f"http://x:{SECRET}\n@127.0.0.1/", f"http://127.0.0.1:{SECRET}/", f"{SECRET}://a"]
)
async def test_an_address_that_is_none_is_not_called_and_not_quoted(url: str) -> None:
    async with Client() as client:
        with pytest.raises(NotSent) as failure:
            await client.call(Call("POST", url, {}, b""))

    assert SECRET not in str(failure.value)


async def test_what_a_carrier_repeats_of_our_key_is_not_in_the_failure(database_url: str) -> None:
    key = f"{SECRET}-of-the-carrier"
    async with (
        echoing(b"HTTP/1.1 20 ") as (url, heard),
        installation(database_url, "cellcast_v1", base_url=url, api_key=key) as home,
    ):
        sent = await home.send("+61491570156")
        message = await home.until(sent["id"], "uncertain")

    assert 1 == len(heard)
    assert f"Bearer {key}".encode() in heard[0]
    assert SECRET not in json.dumps(message)
    [event] = [one for one in message["timeline"] if one["status"] == "uncertain"]
    assert "no answer: RemoteProtocolError" == event["provider_message"]


async def test_a_message_whose_key_no_header_can_carry_waits_and_its_timeline_shows_no_key(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No start lets such a key pass; should one come another way, nothing left, so nothing is uncertain."""
    monkeypatch.setattr(sendable, "misconfigured", lambda *_: None)
    async with installation(database_url, api_key=f"{SECRET}\n{SECRET}") as home:
        sent = await home.send()
        db = await connect(database_url)
        async with asyncio.timeout(PATIENCE):
            while not await db.fetchval("SELECT attempts FROM postback.outbox WHERE state = 'queued'"):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        await db.close()
        message = await home.message(sent["id"])
        journal = await home.journal()

    assert ("accepted", []) == (message["status"], journal)
    assert ["accepted"] == [event["status"] for event in message["timeline"]]
    assert SECRET not in json.dumps(message)


@pytest.mark.parametrize(
    "statement",
    [
        f"SELECT '{SECRET}'::integer",
        f"SELECT '{SECRET}'::varchar::uuid",
        f"SELECT '{{\"{SECRET}'::jsonb",
        f"DO $$ BEGIN RAISE EXCEPTION '{SECRET}'; END $$",
        f"DO $$ BEGIN RAISE EXCEPTION '{SECRET}' USING ERRCODE = '22023'; END $$",
        f"DO $$ BEGIN RAISE EXCEPTION '{SECRET}' USING ERRCODE = 'XX000'; END $$",
    ],
)
async def test_an_error_of_values_is_told_by_its_kind_and_code(statement: str, database_url: str) -> None:
    db = await connect(database_url)
    with pytest.raises(asyncpg.PostgresError) as failure:
        await db.execute(statement)
    with pytest.raises(asyncpg.DataError) as refused:
        await db.fetchval("SELECT $1::integer", SECRET)
    await db.close()

    assert f"{type(failure.value).__name__}: SQLSTATE {failure.value.sqlstate}" == statement_errors.said(
        failure.value
    )
    assert "DataError: SQLSTATE 22000" == statement_errors.said(refused.value)


def test_an_address_of_a_subscriber_that_cannot_be_read_is_not_repeated() -> None:
    with pytest.raises(Problem) as refused:
        check_url(f"https://user:{SECRET}/@example.com", [])

    assert SECRET not in json.dumps([error.detail for error in refused.value.errors])


@pytest.mark.parametrize(
    "words",
    [f"Illegal header value b'Bearer {SECRET}'", f"illegal status line: bytearray(b'{SECRET}')"],
)
def test_a_line_of_the_logs_shows_no_quoted_bytes(words: str) -> None:
    line = logs.redact(structlog.get_logger(), "error", {"event": "x", "reason": words})

    assert SECRET not in json.dumps(line)
