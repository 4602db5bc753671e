"""Connecting to Postgres as people have it: TLS, several hosts, poolers, and every way in which it fails."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from postback import cli
from receiver import db
from receiver.db import DatabaseError, Full, Unreachable
from tests.support import debian
from tests.support.stock import asked, in_every_way, stock, url

__all__ = ["stock"]


SSL = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"


@pytest.mark.parametrize("mode", ["allow", "prefer", "require", "verify-ca", "verify-full", "VERIFY-FULL"])
async def test_every_sslmode_works_in_every_way(stock: debian.Postgres, mode: str) -> None:
    words = f"sslmode={mode}&sslrootcert={stock.authority}"

    assert [True] * 3 == await in_every_way(url(stock, words), SSL)


async def test_without_a_word_tls_is_taken_where_it_is_offered(stock: debian.Postgres) -> None:
    assert [True] * 3 == await in_every_way(url(stock, ""), SSL)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("sslmode=disable", "no encryption"),
        ("sslmode=verify-full&sslrootcert=system", "certificate is not accepted"),
        ("sslmode=verify-ca&sslrootcert={another}", "certificate is not accepted"),
    ],
)
async def test_what_tls_refuses_is_said_in_a_sentence(
    stock: debian.Postgres, tmp_path: Path, words: str, said: str
) -> None:
    debian.certify(tmp_path / "ca.pem", tmp_path / "other.pem", tmp_path / "other.key")
    with pytest.raises(DatabaseError, match=said) as refusal:
        await db.connect(url(stock, words.format(another=tmp_path / "ca.pem")))

    assert not isinstance(refusal.value, Unreachable)


async def test_a_certificate_for_another_name_is_refused(stock: debian.Postgres) -> None:
    elsewhere = url(stock, f"sslmode=verify-full&sslrootcert={stock.authority}").replace(
        "127.0.0.1", "127.0.0.2"
    )
    with pytest.raises(DatabaseError, match=r"127\.0\.0\.2"):
        await db.connect(elsewhere)


async def test_a_client_certificate_takes_the_place_of_a_password(stock: debian.Postgres) -> None:
    shown = (
        f"sslmode=verify-full&sslrootcert={stock.authority}&sslcert={stock.certificate}&sslkey={stock.key}"
    )

    assert ["localhost"] * 3 == await in_every_way(
        url(stock, shown, role="localhost"), "SELECT current_user::text"
    )


async def test_passwords_come_from_a_password_file(stock: debian.Postgres, tmp_path: Path) -> None:
    passwords = tmp_path / "passwords"
    passwords.write_text(f"127.0.0.1:{stock.port}:*:{debian.OWNER}:{debian.PASSWORD}\n")
    passwords.chmod(0o600)

    assert [1] * 3 == await in_every_way(url(stock, f"passfile={passwords}", role=debian.OWNER), "SELECT 1")


async def test_a_wrong_password_is_said_and_not_shown(stock: debian.Postgres) -> None:
    with pytest.raises(DatabaseError, match="password authentication failed") as refusal:
        await db.connect(url(stock, "", role=f"{debian.OWNER}:s3cret"))

    assert "s3cret" not in str(refusal.value)


async def test_settings_of_the_url_reach_the_server_and_jit_is_off(stock: debian.Postgres) -> None:
    words = "application_name=ours&options=-c%20work_mem%3D3MB"
    question = (
        "SELECT string_agg(current_setting(s), ' ') FROM unnest('{application_name,work_mem,jit}'::text[]) s"
    )

    assert ["ours 3MB off"] * 3 == await in_every_way(url(stock, words), question)
    assert "on" == await asked(url(stock, "options=-c%20jit%3Don"), "SHOW jit")


async def test_keepalives_are_those_of_the_url(stock: debian.Postgres) -> None:
    async with db.connected(url(stock, "keepalives_idle=7&tcp_user_timeout=9000")) as connection:
        held = connection._transport.get_extra_info("socket")
        assert 7 == held.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)
        assert 9000 == held.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)


async def test_one_that_takes_no_writes_is_waited_for(database_url: str) -> None:
    read_only = (
        f"{database_url}&options=-c%20default_transaction_read_only=on&target_session_attrs=read-write"
    )
    with pytest.raises(Unreachable, match="target_session_attrs"):
        await db.connect(read_only)


async def test_a_host_that_is_away_is_passed_over(stock: debian.Postgres, free_port: int) -> None:
    for hosts in (f"127.0.0.1:{free_port},{stock.address}", f"{stock.address},127.0.0.1:{free_port}"):
        several = url(stock, f"sslrootcert={stock.authority}&sslmode=verify-full").replace(
            stock.address, hosts
        )
        assert [False] * 3 == await in_every_way(several, "SELECT pg_is_in_recovery()")


async def test_a_host_that_does_not_answer_costs_one_attempt(stock: debian.Postgres) -> None:
    """Whoever gives up while it is silent begins with the next host."""
    async with silent() as port:
        several = url(stock, "").replace(stock.address, f"127.0.0.1:{port},{stock.address}")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await db.connect(several)

        async with asyncio.timeout(5):
            assert 1 == await asked(several)
            assert 1 == await asked(several)


async def test_where_no_host_can_be_used_each_says_why(stock: debian.Postgres, free_port: int) -> None:
    several = url(stock, "", role=f"{debian.OWNER}:s3cret").replace(
        stock.address, f"127.0.0.1:{free_port},{stock.address}"
    )
    with pytest.raises(Unreachable) as failure:
        await db.connect(several)

    assert "None of the database's 2 hosts" in str(failure.value)
    assert "Connect call failed" in str(failure.value)
    assert "password authentication failed" in str(failure.value)


@asynccontextmanager
async def silent(answer: Callable[[bytes], bytes | None] = lambda _: None) -> AsyncIterator[int]:
    """A port where *answer* says what is sent to whoever connects; None sends nothing and keeps the line."""
    over = asyncio.Event()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            said = answer(await reader.read(1000))
            if said is None:
                await over.wait()
            else:
                writer.write(said)
                await writer.drain()
            writer.close()

    server = await asyncio.start_server(converse, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        over.set()
        server.close()
        await server.wait_closed()


def refusal(sqlstate: str, said: str = "so it says") -> Callable[[bytes], bytes]:
    """What a server sends instead of letting anybody in."""
    fields = b"".join(
        kind + value.encode() + b"\0" for kind, value in ((b"S", "FATAL"), (b"C", sqlstate), (b"M", said))
    )
    return lambda _: b"E" + struct.pack("!i", len(fields) + 5) + fields + b"\0"


@pytest.mark.parametrize(
    "answer",
    [
        *map(refusal, ("57P03", "57P01", "53300", "53200", "08006", "58030", "XX000", "25006", "55000")),
        refusal("08P01", "server login has been failing"),
        lambda _: None,
        lambda _: b"",
        lambda _: b"HTTP/1.1 400 Bad Request\r\n\r\n",
        lambda _: b"R\0\0\0\x08\0\0\0\x63",
    ],
)
async def test_whatever_ends_an_attempt_the_database_may_be_there_again(
    answer: Callable[[bytes], bytes | None],
) -> None:
    async with silent(answer) as port:
        there = f"postgresql://u:s3cret@127.0.0.1:{port}/d?sslmode=disable&connect_timeout=0.3"
        with pytest.raises(Unreachable) as failure:
            await db.connect(there)
        engine = db.engine(there)
        with pytest.raises(Unreachable):
            async with engine.connect():
                pass
        await engine.dispose()

    assert "s3cret" not in str(failure.value)


@pytest.mark.parametrize(
    "answer",
    [
        *map(refusal, ("28P01", "28000", "3D000", "42501", "22023", "0A000")),
        refusal("08P01", "no such database: d"),
        refusal("08P01", 'database "d" does not exist'),
        refusal("08P01", "unsupported startup parameter: search_path"),
    ],
)
async def test_what_the_url_has_wrong_is_no_reason_to_wait(answer: Callable[[bytes], bytes]) -> None:
    async with silent(answer) as port:
        with pytest.raises(DatabaseError, match=r"(out of|check) database_url") as failure:
            await db.connect(f"postgresql://127.0.0.1:{port}/d?sslmode=disable")

    assert not isinstance(failure.value, Unreachable)


_END = "SELECT pg_terminate_backend(pg_backend_pid())"


async def test_a_server_that_goes_away_before_a_start_is_through_is_waited_for(postgres_url: str) -> None:
    async def check() -> None:
        async with db.connected(postgres_url) as connection:
            await connection.execute(_END)

    assert not await db.reached(check)


async def test_who_loses_a_connection_of_a_pool_is_told_what_became_of_it(postgres_url: str) -> None:
    lost = asyncio.Event()

    async def lose(pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        async with db.pooled(pool, within=30) as connection:
            connection.add_termination_listener(lambda _: lost.set())
            with suppress(asyncpg.PostgresError):
                await connection.execute(_END)
            async with asyncio.timeout(30):
                await lost.wait()
            raise ConnectionResetError("what became of it")

    async with db.pool(postgres_url, size=1) as pool:
        with pytest.raises(ConnectionResetError, match="what became of it"):
            await lose(pool)


async def test_a_command_whose_database_goes_away_ends_in_a_sentence(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = db.engine(postgres_url, size=0)
    with pytest.raises(DBAPIError) as lost:
        async with engine.connect() as connection:
            await connection.execute(text(_END))

    def ends() -> None:
        raise lost.value

    monkeypatch.setattr(cli, "app", ends)
    # it would write the logs of all later tests to the standard error of this one
    monkeypatch.setattr("postback.logs.configure", lambda: None)
    with pytest.raises(SystemExit) as end:
        cli.main()

    assert 1 == end.value.code
    assert capsys.readouterr().err.startswith("The database went away: ")


async def test_a_server_that_is_full_is_known_to_be_there() -> None:
    async with silent(refusal("53300")) as port:
        with pytest.raises(Full):
            await db.connect(f"postgresql://127.0.0.1:{port}/d?sslmode=disable")


async def test_a_server_without_tls_is_told_from_one_that_is_away() -> None:
    async with silent(lambda _: b"N") as port:
        with pytest.raises(DatabaseError, match="offers no TLS") as failure:
            await db.connect(f"postgresql://127.0.0.1:{port}/d?sslmode=require")

    assert not isinstance(failure.value, Unreachable)


async def test_a_socket_that_is_not_there_is_waited_for(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="FileNotFoundError"):
        await db.connect(f"postgresql:///d?host={tmp_path}")
