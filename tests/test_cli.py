"""The command as people meet it: what it prints where, and the one sentence when it cannot start."""

import json
import re
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from receiver import db
from receiver.secrets import Secrets
from tests.conftest import SCHEMA
from tests.support.commands import postback, run
from tests.support.processes import alive, children, eventually

UNREACHABLE = {"DATABASE_URL": "postgresql://postgres@127.0.0.1:1/postback", "POSTBACK_SECRET_KEY": "k" * 16}
KEY = re.compile(r"pb_[0-9a-f]{32}\.[A-Za-z0-9_-]{65}\n")
CHANNEL = {"provider": "sinch_mms", "tokens": ["a-token-of-tests"], "from": ["+18885551234"]}


@pytest.fixture
def database(database_url: str) -> dict[str, str]:
    """The variables of an installation on a migrated database of its own."""
    return {"DATABASE_URL": database_url, "POSTBACK_SECRET_KEY": "the right secret key"}


def refused(*arguments: str, cwd: Path, **variables: str) -> str:
    """The sentence with which ``postback`` ends; there is nothing else, on either stream."""
    code, output, errors = run(*arguments, cwd=cwd, **variables)

    assert (1, "") == (code, output), errors
    assert [errors] == errors.splitlines(keepends=True)
    return errors


@contextmanager
def occupied_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        yield int(taken.getsockname()[1])


@pytest.mark.parametrize("command", ["up", "serve", "simulate"])
def test_a_port_that_is_taken_is_named(command: str, tmp_path: Path, database: dict[str, str]) -> None:
    with occupied_port() as port:
        sentence = refused(command, "--port", str(port), cwd=tmp_path, **database)

    assert str(port) in sentence
    assert "--port" in sentence


@pytest.mark.parametrize("command", ["up --port 0", "send", "migrate", "keys list"])
def test_a_database_that_cannot_be_reached_ends_every_command(command: str, tmp_path: Path) -> None:
    sentence = refused(*command.split(), cwd=tmp_path, **UNREACHABLE)

    assert "cannot be reached" in sentence
    assert "database_url" in sentence


def test_an_address_that_is_no_database_is_refused(tmp_path: Path) -> None:
    sentence = refused(
        "migrate", cwd=tmp_path, DATABASE_URL="mysql://127.0.0.1/x", POSTBACK_SECRET_KEY="k" * 16
    )

    assert "database_url" in sentence


@pytest.mark.parametrize("command", ["serve --port 0", "forward"])
def test_a_schema_that_is_not_migrated_names_the_command_that_does_it(
    command: str, tmp_path: Path, database: dict[str, str]
) -> None:
    sentence = refused(*command.split(), cwd=tmp_path, POSTBACK_SCHEMA="still_empty", **database)

    assert 'The schema "still_empty" is not migrated; run: postback migrate\n' == sentence


def test_a_server_that_is_too_old_is_refused_with_its_version(tmp_path: Path) -> None:
    with old_postgres() as port:
        sentence = refused(
            "serve", "--port", "0", cwd=tmp_path, DATABASE_URL=f"postgresql://postgres@127.0.0.1:{port}/x",
            POSTBACK_SECRET_KEY="k" * 16,
        )  # fmt: skip

    assert "Postgres 14" in sentence
    assert "15 or later" in sentence


@pytest.mark.parametrize("command", ["up --port 0", "keys create --name n"])
def test_a_data_directory_that_cannot_be_written_is_named(command: str, tmp_path: Path) -> None:
    # below a regular file: permissions would not stop root
    (tmp_path / "file").touch()
    sentence = refused(*command.split(), cwd=tmp_path, POSTBACK_DATA_DIR="file/data")

    assert "file/data" in sentence
    assert "data_dir" in sentence


@pytest.mark.parametrize("command", ["up --port 0", "serve --port 0"])
async def test_a_secret_key_of_another_installation_is_refused(
    command: str, tmp_path: Path, database: dict[str, str]
) -> None:
    engine = db.engine(database["DATABASE_URL"], SCHEMA, size=1)
    await Secrets([database["POSTBACK_SECRET_KEY"]]).check(engine)  # as the first start does
    await engine.dispose()

    sentence = refused(
        *command.split(), cwd=tmp_path, **{**database, "POSTBACK_SECRET_KEY": "a wrong secret key"}
    )

    assert "secret_key is not the one" in sentence
    assert "a wrong secret key" not in sentence


def test_a_database_of_ones_own_needs_a_secret_key(tmp_path: Path, database: dict[str, str]) -> None:
    sentence = refused("serve", "--port", "0", cwd=tmp_path, DATABASE_URL=database["DATABASE_URL"])

    assert "secret_key is required with database_url" in sentence


def test_serving_without_a_database_says_where_one_would_come_from(tmp_path: Path) -> None:
    sentence = refused("serve", "--port", "0", cwd=tmp_path)

    assert "postback up" in sentence
    assert "database_url" in sentence


@pytest.mark.parametrize(
    ("channel", "parts"),
    [
        ({**CHANNEL, "provider": "sinch"}, ["channels.a.provider", '"sinch"', "sinch_mms"]),
        ({**CHANNEL, "api_kye": "x"}, ["channels.a.api_kye", '"api_key"']),
    ],
)
def test_a_channel_is_held_against_its_provider(
    channel: dict[str, object], parts: list[str], tmp_path: Path
) -> None:
    sentence = refused("channels", cwd=tmp_path, POSTBACK_CHANNELS=json.dumps({"a": channel}))

    assert [] == [part for part in parts if part not in sentence]


def test_channels_prints_the_address_for_the_carrier(tmp_path: Path) -> None:
    channels = json.dumps({"a": {**CHANNEL, "tokens": ["to/ken-of-the-tests"], "bearer": ["new", "old"]}})
    code, output, _ = run(
        "channels", cwd=tmp_path, POSTBACK_CHANNELS=channels, POSTBACK_PUBLIC_URL="https://sms.example.com/"
    )

    assert 0 == code
    assert "https://sms.example.com/hooks/a/to%2Fken-of-the-tests\n" in output
    assert "authentication  tokens, bearer (2)\n" in output


def test_a_key_is_printed_alone_listed_and_revoked_from_any_directory(
    tmp_path: Path, database: dict[str, str]
) -> None:
    code, output, errors = run(
        "keys", "create", "--name", "shop", "--scope", "read,send", cwd=tmp_path, **database
    )
    assert (0, "") == (code, errors)
    assert KEY.fullmatch(output)

    _, listed, _ = run("keys", "list", cwd=Path("/"), **database)
    key_id, rest = listed.split(maxsplit=1)
    assert ["shop", "read,send", "all", "channels"] == rest.split()[:4]
    assert listed.endswith("active\n")

    code, output, _ = run("keys", "revoke", key_id, cwd=Path("/"), **database)
    assert (0, "") == (code, output)
    _, listed, _ = run("keys", "list", cwd=tmp_path, **database)
    assert listed.endswith("revoked\n")


def test_migrate_fills_an_empty_schema_and_may_be_repeated(tmp_path: Path, database: dict[str, str]) -> None:
    for _ in range(2):
        assert (0, "", "") == run("migrate", cwd=tmp_path, POSTBACK_SCHEMA="tenant_7", **database)

    code, output, _ = run(
        "keys", "create", "--name", "n", cwd=tmp_path, POSTBACK_SCHEMA="tenant_7", **database
    )
    assert 0 == code
    assert KEY.fullmatch(output)


def test_two_workers_share_a_port_and_leave_with_their_parent(
    tmp_path: Path, database: dict[str, str]
) -> None:
    with postback("serve", "--port", "0", "--workers", "2", cwd=tmp_path, **database) as serving:
        url = serving.ready()
        workers = children(serving.process.pid)
        assert {200} == {httpx.get(f"{url}/readyz").status_code for _ in range(10)}
        assert 2 == len(workers)

        assert 0 == serving.ends(signal.SIGTERM)

        assert eventually(lambda: not any(alive(pid) for pid in workers))
        assert [f"ready {url}\n"] == serving.output


def test_up_says_ready_first_and_shows_a_message_on_its_way(tmp_path: Path) -> None:
    """From an empty directory, with a database of its own and the practice carrier."""
    with postback("up", "--port", "0", "--demo", cwd=tmp_path) as everything:
        everything.says("Ctrl-C")
        first, *rest = everything.output
        url = everything.ready()

        assert f"ready {url}\n" == first
        assert {"status": "ready"} == httpx.get(f"{url}/readyz").json()
        story = "".join(rest)
        assert ["accepted", "queued", "sent", "delivered"] == re.findall(r"message\.(\w+)", story)
        assert f"{url}/hooks/practice/" in story
        # another command, in the same directory, finds the database that runs
        code, output, _ = run("keys", "create", "--name", "n", cwd=tmp_path)
        assert 0 == code
        assert KEY.fullmatch(output)

        assert 0 == everything.ends(signal.SIGINT)

    assert not (tmp_path / ".postback" / "pg18" / "postmaster.pid").exists()


@contextmanager
def old_postgres() -> Iterator[int]:
    """The port of as much of a Postgres 14 as a client sees before its first query.

    https://www.postgresql.org/docs/current/protocol-message-formats.html
    """
    with socket.create_server(("127.0.0.1", 0)) as server:
        answering = threading.Thread(target=greet, args=(server,))
        answering.start()
        yield int(server.getsockname()[1])
        server.shutdown(socket.SHUT_RDWR)  # which ends the wait for another client
        answering.join()


def greet(server: socket.socket) -> None:
    with suppress(OSError):
        while True:
            greet_one(server)


def greet_one(server: socket.socket) -> None:
    def message(kind: bytes, body: bytes) -> bytes:
        return kind + (len(body) + 4).to_bytes(4, "big") + body

    connection, _ = server.accept()
    with connection:
        # a start-up message begins with the protocol's version, 3; anything else asks for encryption
        while int.from_bytes(connection.recv(1024)[4:6], "big") != 3:
            connection.sendall(b"N")
        connection.sendall(
            message(b"R", bytes(4))
            + message(b"S", b"server_version\x0014.9\0")
            + message(b"K", bytes(8))
            + message(b"Z", b"I")
        )
        connection.recv(1024)
