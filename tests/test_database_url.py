"""What a database's URL comes to: libpq's words, SQLAlchemy's, those of those that people rent it from."""

import re
import socket
from pathlib import Path
from typing import Any

import pytest

from postback import logs
from receiver import db
from receiver.config import settings
from receiver.db import DatabaseError
from receiver.db.words import VARIABLES
from tests.support import debian
from tests.support.processes import ROOT

#: URLs as their providers document them, with invented hosts and credentials, and what they come to
PROVIDERS: dict[str, tuple[str, dict[str, Any]]] = {
    "Heroku": (
        "postgres://u1a2b3:p4c5d6@ec2-192-0-2-10.compute-1.amazonaws.com:5432/d7e8f9",
        {"user": "u1a2b3", "password": "p4c5d6", "database": "d7e8f9", "mode": ""},
    ),
    "Neon": (
        "postgresql://alex:AbC123@ep-cool-rain-a1b2c3.us-east-2.aws.neon.tech/neondb?sslmode=require&channel_binding=require",
        {"port": 5432, "database": "neondb", "mode": "require", "notes": 1},
    ),
    "Neon, pooled": (
        "postgresql://alex:AbC123@ep-cool-rain-a1b2c3-pooler.us-east-2.aws.neon.tech/neondb?sslmode=require",
        {"host": "ep-cool-rain-a1b2c3-pooler.us-east-2.aws.neon.tech", "mode": "require"},
    ),
    "Neon, without SNI": (
        "postgresql://alex:AbC123@ep-cool-rain-a1b2c3.us-east-2.aws.neon.tech/neondb?sslmode=require&options=endpoint%3Dep-cool-rain-a1b2c3",
        {"settings": {"options": "endpoint=ep-cool-rain-a1b2c3"}},
    ),
    "Supabase, direct": (
        "postgresql://postgres:s3cret@db.abcdefghijkl.supabase.co:5432/postgres",
        {"host": "db.abcdefghijkl.supabase.co", "user": "postgres"},
    ),
    "Supabase, session pooler": (
        "postgresql://postgres.abcdefghijkl:s3cret@aws-0-eu-west-1.pooler.supabase.com:5432/postgres",
        {"user": "postgres.abcdefghijkl", "port": 5432, "prepares": None},
    ),
    "Supabase, transaction pooler": (
        "postgresql://postgres.abcdefghijkl:s3cret@aws-0-eu-west-1.pooler.supabase.com:6543/postgres?pgbouncer=true",
        {"port": 6543, "prepares": False},
    ),
    "Amazon RDS": (
        "host=postback.a1b2c3.eu-west-1.rds.amazonaws.com port=5432 dbname=postback user=app password=s3cret sslmode=verify-full sslrootcert={authority}",
        {
            "host": "postback.a1b2c3.eu-west-1.rds.amazonaws.com",
            "database": "postback",
            "mode": "verify-full",
        },
    ),
    "Azure": (
        "postgres://app%40postback:s3cret@postback.postgres.database.azure.com:5432/postgres?sslmode=require",
        {"user": "app@postback", "mode": "require"},
    ),
    "DigitalOcean": (
        "postgresql://doadmin:AVNS_s3cret@db-postgresql-ams3-1-do-user-2-0.b.db.ondigitalocean.com:25060/defaultdb?sslmode=require",
        {"port": 25060, "database": "defaultdb", "mode": "require"},
    ),
    "Render": (
        "postgresql://app:s3cret@dpg-a1b2c3d4-a.frankfurt-postgres.render.com/postback",
        {"port": 5432, "host": "dpg-a1b2c3d4-a.frankfurt-postgres.render.com"},
    ),
    "Crunchy Bridge": (
        "postgres://application:s3cret@p.abcdefghijkl.db.postgresbridge.com:5432/postgres",
        {"user": "application", "host": "p.abcdefghijkl.db.postgresbridge.com"},
    ),
}


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No word of the shell that runs the tests, and a home without libpq's files."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for variable in VARIABLES.values():
        monkeypatch.delenv(variable, raising=False)


def read(url: str) -> dict[str, Any]:
    """What *url* comes to, with the first host's name and port beside the rest."""
    place = db.address(url)
    (host, port), *_ = place.hosts
    return {
        "host": host, "port": port, "hosts": list(place.hosts), "user": place.user, "password": place.password,
        "database": place.database, "mode": place.tls.mode, "attrs": place.attrs, "prepares": place.prepares,
        "settings": {k: v for k, v in place.settings.items() if k != "application_name"},
        "application_name": place.settings["application_name"], "connect_timeout": place.connect_timeout,
        "socket_options": set(place.socket_options), "shuffled": place.shuffled, "notes": len(place.notes),
    }  # fmt: skip


def refused(url: str) -> str:
    with pytest.raises(DatabaseError) as refusal:
        db.address(url)
    return str(refusal.value)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("tls")
    debian.certify(directory / "ca.pem", directory / "server.pem", directory / "server.key")
    return directory / "ca.pem"


@pytest.mark.parametrize("provider", PROVIDERS)
def test_the_urls_of_providers_are_understood(provider: str, authority: Path) -> None:
    url, expected = PROVIDERS[provider]
    found = read(url.format(authority=authority))

    assert expected == {name: found[name] for name in expected}


def test_the_page_names_every_provider_whose_urls_are_tested() -> None:
    page = (ROOT / "docs" / "postgres.md").read_text(encoding="utf-8")

    assert [] == [name for name in {provider.partition(",")[0] for provider in PROVIDERS} if name not in page]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://a:1,b:2/d", [("a", 1), ("b", 2)]),
        ("postgresql://a,b:2/d", [("a", 5432), ("b", 2)]),
        ("postgresql://u:p@a,b,c/d?port=7", [("a", 7), ("b", 7), ("c", 7)]),
        ("postgresql:///d?host=a,b&port=1,2", [("a", 1), ("b", 2)]),
        ("postgresql+asyncpg://u:p@/d?host=a:1&host=b:2", [("a", 1), ("b", 2)]),
        ("postgresql+psycopg2://u:p@/d?host=a&host=b&port=3", [("a", 3), ("b", 3)]),
        ("host=a,b port=1,2 dbname=d", [("a", 1), ("b", 2)]),
        ("postgresql://[2001:db8::1]:7/d", [("2001:db8::1", 7)]),
        ("postgresql://[2001:db8::1],[::1]:8/d", [("2001:db8::1", 5432), ("::1", 8)]),
        ("postgresql:///d?host=2001:db8::1", [("2001:db8::1", 5432)]),
        ("postgresql:///d?host=/run/pg&port=6", [("/run/pg", 6)]),
        ("postgresql://%2Frun%2Fpg/d", [("/run/pg", 5432)]),
        ("postgresql://u@/d?host=/cloudsql/project:region:instance", [("/cloudsql/project:region:instance", 5432)]),
        ("postgresql:///d", [(None, 5432)]),
        ("postgresql://", [(None, 5432)]),
        ("postgresql:///d?hostaddr=192.0.2.1", [("192.0.2.1", 5432)]),
    ],
)  # fmt: skip
def test_every_form_of_hosts_is_understood(url: str, expected: list[tuple[str, int]]) -> None:
    assert expected == read(url)["hosts"]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://u:p%40ss%2Fw%3Ard%20@h/d", "p@ss/w:rd "),
        ("postgresql://u:p@ss:w#rd@h/d", "p@ss:w#rd"),
        ("postgresql://u:100%sure@h/d", "100%sure"),
        ("postgresql://u:a+b@h/d", "a+b"),
        ("postgresql://u@h/d?password=a%26b+c", "a&b+c"),
        ("host=h user=u password='a b\\'c' dbname=d", "a b'c"),
        ("postgresql://u:p%C3%A4ss@h/d", "päss"),
    ],
)
def test_odd_passwords_are_what_was_written(url: str, expected: str) -> None:
    found = read(url)

    assert (expected, "u", "h", "d") == tuple(
        found[name] for name in ("password", "user", "host", "database")
    )


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        *[(f"sslmode={mode}", {"mode": mode}) for mode in ("disable", "allow", "prefer", "require")],
        ("sslmode=REQUIRE", {"mode": "require"}),
        ("SSLMODE=require", {"mode": "require"}),
        ("ssl=require", {"mode": "require"}),
        ("ssl=true", {"mode": "require"}),
        ("ssl=false", {"mode": "disable"}),
        ("sslrootcert=system", {"mode": "verify-full"}),
        ("sslmode=verify-full&sslrootcert=system", {"mode": "verify-full"}),
        ("application_name=ours", {"application_name": "ours"}),
        ("fallback_application_name=ours", {"application_name": "ours"}),
        ("", {"application_name": "postback", "attrs": "any", "connect_timeout": 10.0, "notes": 0}),
        ("options=-c%20statement_timeout=5s%20-cwork_mem=8MB", {"settings": {"statement_timeout": "5s", "work_mem": "8MB"}}),
        ("options=--search_path=a,b", {"settings": {"search_path": "a,b"}}),
        ("options=-c%20search_path=a%5C%20b", {"settings": {"search_path": "a b"}}),
        ("connect_timeout=3", {"connect_timeout": 3.0}),
        ("target_session_attrs=read-write", {"attrs": "read-write"}),
        ("target_session_attrs=primary", {"attrs": "primary"}),
        ("load_balance_hosts=random", {"shuffled": True}),
        ("keepalives=0&keepalives_idle=9", {"socket_options": set()}),
        ("tcp_user_timeout=900&keepalives=0", {"socket_options": {(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 900)}}),
        ("keepalives_count=3", {"socket_options": {(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1), (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)}}),
        ("channel_binding=prefer&gssencmode=prefer&sslsni=1&client_encoding=UTF8&krbsrvname=pg", {"notes": 0}),
        ("channel_binding=require", {"notes": 1}),
        ("prepared_statement_cache_size=0", {"prepares": False}),
        ("statement_cache_size=100", {"prepares": True}),
        ("pgbouncer=true", {"prepares": False}),
        ("user=somebody&dbname=elsewhere", {"user": "somebody", "database": "elsewhere"}),
    ],
)  # fmt: skip
def test_the_words_of_libpq_and_sqlalchemy_are_honoured(words: str, expected: dict[str, Any]) -> None:
    found = read(f"postgresql+asyncpg://u:p@h/d?{words}")

    assert expected == {name: found[name] for name in expected}


def test_of_several_hosts_one_that_takes_writes_is_wanted() -> None:
    assert "read-write" == read("postgresql://a,b/d")["attrs"]
    assert "any" == read("postgresql://a,b/d?target_session_attrs=any")["attrs"]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql://u:s3cret@h/d?sslmod=require", ("sslmod", "sslmode")),
        ("postgresql://u:s3cret@h/d?statement_timeout=5", ("statement_timeout", "options=-c")),
        ("postgresql://u:s3cret@h/d?sslmode=no-verify", ("no-verify", "verify-full")),
        ("postgresql://u:s3cret@h/d?sslmode=verify-full", ("sslrootcert", "system")),
        ("postgresql://u:s3cret@h/d?sslmode=require&sslrootcert=/nowhere.pem", ("sslrootcert", "/nowhere.pem")),
        ("postgresql://u:s3cret@h/d?sslmode=require&sslrootcert=system", ("verify-full",)),
        ("postgresql://u:s3cret@h/d?sslcert=/nowhere.pem&sslkey=/nowhere.key", ("sslcert", "/nowhere.pem")),
        ("postgresql://u:s3cret@h/d?target_session_attrs=standby", ("standby", "read-write")),
        ("postgresql://u:s3cret@h/d?target_session_attrs=prefer-standby", ("prefer-standby", "read-write")),
        ("postgresql://u:s3cret@h/d?require_auth=scram-sha-256", ("require_auth",)),
        ("postgresql://u:s3cret@h/d?gssencmode=require", ("gssencmode", "TLS")),
        ("postgresql://u:s3cret@h/d?client_encoding=LATIN1", ("client_encoding", "UTF8")),
        ("postgresql://u:s3cret@h/d?connect_timeout=soon", ("connect_timeout=soon",)),
        ("postgresql://u:s3cret@h/d?channel_binding=maybe", ("channel_binding=maybe", "require")),
        ("postgresql://u:s3cret@h,i/d?port=1,2,3", ("2 hosts", "3 ports")),
        ("postgresql://u:s3cret@h:99999/d", ("port",)),
        ("postgresql://u:s3cret@h/d?sslmode", ("sslmode",)),
        ("postgresql://u:s3cret@h/d?service=nowhere", ("nowhere",)),
        ("postgresql://u:s3cret/and more@h/d", ("%2F",)),
        ("postgresql://u:12?s3cret=x@h/d", ("%3F",)),
        ("mysql://u:s3cret@h/d", ("postgresql://",)),
        ("nonsense", ("postgresql://",)),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_said_in_one_sentence_without_the_password(
    url: str, words: tuple[str, ...]
) -> None:
    said = refused(url)

    assert [] == [word for word in words if word not in said]
    assert "s3cret" not in said
    assert "\n" not in said


@pytest.mark.parametrize(
    "url", ["postgresql://u:s3cret@h/d?sslmod=require", "postgresql://u:s3cret@h/d?sslmode=no"]
)
def test_logs_show_what_is_wrong_with_the_url(url: str) -> None:
    with pytest.raises(DatabaseError) as refusal:
        db.address(url)
    told = logs.redact(None, "", {"reason": str(refusal.value), "error": refusal.value})

    assert "sslmod" in str(told["reason"])
    assert "sslmod" in str(told["error"])


def test_logs_hide_every_password_of_the_urls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "_secrets", set())
    monkeypatch.setattr(logs, "_known", re.compile(r"(?!)"))
    logs.hide(
        settings({
            "database_url": "postgresql://u:first%40secret@a:1,b:2/d?sslpassword=third-secret",
            "listen_url": "host=h user=u password=fourth-secret",
            "secret_key": ["a secret key for tests"],
        })
    )  # fmt: skip
    told = logs.redact(None, "", {"event": "first@secret first%40secret third-secret fourth-secret"})

    assert "secret" not in told["event"]


def test_libpqs_variables_fill_in_what_the_url_leaves_out(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "PGHOST": "a,b", "PGPORT": "1,2", "PGUSER": "u", "PGPASSWORD": "p", "PGDATABASE": "d",
        "PGSSLMODE": "require", "PGAPPNAME": "ours", "PGOPTIONS": "-c work_mem=1MB", "PGCONNECT_TIMEOUT": "4",
        "PGTARGETSESSIONATTRS": "primary",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    found = read("postgresql://")

    assert [("a", 1), ("b", 2)] == found["hosts"]
    assert ("u", "p", "d", "require", "ours", {"work_mem": "1MB"}, 4.0, "primary") == tuple(
        found[name]
        for name in ("user", "password", "database", "mode", "application_name", "settings", "connect_timeout", "attrs")
    )  # fmt: skip
    assert "disable" == read("postgresql://?sslmode=disable")["mode"]


def test_a_service_file_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "services"
    file.write_text("[ours]\nhost=a\nport=7\ndbname=d\nuser=u\nsslmode=require\n")
    monkeypatch.setenv("PGSERVICEFILE", str(file))
    found = read("postgresql://?service=ours&user=other")

    assert ("a", 7, "d", "other", "require") == tuple(
        found[name] for name in ("host", "port", "database", "user", "mode")
    )


def test_every_url_of_the_page_is_understood(authority: Path) -> None:
    page = (ROOT / "docs" / "postgres.md").read_text(encoding="utf-8")
    shown = re.findall(r"`(postgres(?:ql)?(?:\+\w+)?://[^`…]+|host=[^`…]+)`", page)

    assert len(shown) > 12
    for url in shown:
        db.address(re.sub(r"(?<=sslrootcert=)/[^&]+", str(authority), url))
