"""What `postback doctor` says of the way to the database, on Debian's Postgres and PgBouncer."""

import asyncio
from pathlib import Path

import pytest

from postback import checkup_database
from postback.checkup import Finding, Level
from receiver.config import settings
from receiver.db import Mode, connecting
from tests.support import commands, debian
from tests.support.pgbouncer import PgBouncer
from tests.support.stock import lending, pooler, stock, url

__all__ = ["lending", "pooler", "stock"]


@pytest.fixture(autouse=True)
def nothing_known() -> None:
    """Nothing that another test has found out about an address is known."""
    connecting._known.clear()


async def found(database_url: str, **more: str) -> dict[str, list[Finding]]:
    """The findings about the connection, by the name of the check."""
    configured = settings({"database_url": database_url, "secret_key": ["a secret key for tests"], **more})
    names = ("connection", "pooler", "listening", "statements", "jit")
    all_of = [one async for one in checkup_database.examine(configured)]
    return {name: [one for one in all_of if one.check == name] for name in names}


def said(findings: list[Finding]) -> list[tuple[Level, str]]:
    return [(finding.level, finding.said) for finding in findings]


async def test_tls_jit_and_hosts_are_named(stock: debian.Postgres) -> None:
    checked = await found(stock.url(debian.OWNER))
    unchecked = await found(url(stock, "sslmode=require"))
    several = await found(url(stock, "").replace(stock.address, f"{stock.address},{stock.address}"))

    assert [(Level.OK, "over TLS")] == said(checked["connection"])
    assert [(Level.OK, "over TLS, and any certificate is taken")] == said(unchecked["connection"])
    assert [(Level.OK, "2 hosts, read-write; over TLS, and any certificate is taken")] == said(
        several["connection"]
    )
    assert [(Level.OK, "on at the server, off for what Postback runs")] == said(checked["jit"])
    assert [(Level.OK, "none in between")] == said(checked["pooler"])
    assert [(Level.OK, "database_url is listened to")] == said(checked["listening"])
    assert [(Level.OK, "two prepared statements were found again")] == said(checked["statements"])


async def test_what_the_url_asks_for_in_vain_is_a_warning(stock: debian.Postgres) -> None:
    asking = await found(url(stock, "channel_binding=require&options=-c%20jit%3Don"))

    [_, binding] = asking["connection"]
    assert Level.WARNING is binding.level
    assert "channel_binding=require" in binding.said
    assert "sslrootcert=system" in binding.remedy
    assert [(Level.WARNING, "switched on by database_url")] == said(asking["jit"])


async def test_a_pooler_is_named_and_what_it_lacks(stock: debian.Postgres, pooler: tuple[str, Mode]) -> None:
    through, mode = pooler
    alone = await found(through)
    helped = await found(through, listen_url=stock.url(debian.OWNER))

    assert [(Level.OK, mode.value)] == said(alone["pooler"]) == said(helped["pooler"])
    assert [(Level.OK, "on at the server, off for what Postback runs")] == said(alone["jit"])
    assert [(Level.OK, "two prepared statements were found again")] == said(alone["statements"])
    assert [(Level.OK, "listen_url is listened to")] == said(helped["listening"])
    [listening] = alone["listening"]
    if mode is Mode.TRANSACTION:
        assert (Level.WARNING, "set listen_url to the server itself") == (listening.level, listening.remedy)
    else:
        assert Level.OK is listening.level


async def test_a_listen_url_that_is_a_pooler_too_or_away_is_named(
    stock: debian.Postgres, lending: PgBouncer, free_port: int
) -> None:
    [pooled] = (await found(stock.url(debian.OWNER), listen_url=lending.url))["listening"]
    [away] = (await found(stock.url(debian.OWNER), listen_url=f"postgresql://127.0.0.1:{free_port}/d"))[
        "listening"
    ]

    assert Level.WARNING is pooled.level
    assert "listen_url is a pooler" in pooled.said
    assert Level.FAILURE is away.level
    assert "listen_url cannot be used" in away.said


async def test_a_pooler_that_keeps_no_statements_though_the_url_says_so_is_a_failure(
    lending: PgBouncer,
) -> None:
    [statements] = (await found(f"{lending.url}&statement_cache_size=100"))["statements"]

    assert Level.FAILURE is statements.level
    assert "prepared statements are lost" in statements.said
    assert "max_prepared_statements" in statements.remedy


@pytest.mark.parametrize("words", ["sslmod=require", "sslmode=maybe", "statement_timeout=5"])
async def test_a_word_that_nobody_knows_is_said_by_the_command(tmp_path: Path, words: str) -> None:
    code, output, errors = await asyncio.to_thread(
        commands.run, "doctor", cwd=tmp_path, DATABASE_URL=f"postgresql://u:s3cret@h/d?{words}",
        POSTBACK_SECRET_KEY="a secret key for tests",
    )  # fmt: skip

    assert 1 == code
    assert words.partition("=")[0] in output
    assert "Traceback" not in errors
    assert "s3cret" not in output + errors


@pytest.mark.parametrize("command", ["serve", "send", "forward", "migrate", "janitor", "doctor"])
async def test_no_command_ends_with_a_traceback_for_a_wrong_url(tmp_path: Path, command: str) -> None:
    code, output, errors = await asyncio.to_thread(
        commands.run, command, cwd=tmp_path, DATABASE_URL="postgresql://u:s3cret@h/d?sslmode=maybe",
        POSTBACK_SECRET_KEY="a secret key for tests",
    )  # fmt: skip

    assert 0 != code
    assert "verify-full" in output + errors
    assert "Traceback" not in errors
    assert "s3cret" not in output + errors
