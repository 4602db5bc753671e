"""A setting with a credential and a mistake in it: no error, line of the logs or of the doctor quotes it."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import structlog

from faults.ports import free_port
from postback import checkup, checkup_database, logs
from receiver import config, db
from receiver.channel_checks import providers_of
from receiver.config import ChannelSettings, ConfigError, Retention, Settings
from receiver.db import DatabaseError
from receiver.media.store import place_of
from receiver.providers import PROVIDERS
from tests.support.commands import run

#: the two halves of every password here; no sentence may have either
HALVES = ("Sesame", "Xanadu")
PASSWORD = "".join(HALVES)
#: what people put into passwords and do not encode
ODD = [
    *"@/%?#[:&= \"'\\+,;$!|~^`{}<>\t",
    "%zz",
    "@@",
    "/?@",
    "?a=b&",
    "]@[",
    "://",
    "?sslmode=",
    "?connect_timeout=",
]
TOKEN = "a-token-of-tests"
#: keys whose values are names and choices, which sentences may repeat
NAMES = {"name", "provider", "data_dir", "db_schema", "channels", "retention"}


def quoted(words: str) -> list[str]:
    return [half for half in HALVES if half.lower() in words.lower()]


def passwords() -> Iterator[str]:
    yield PASSWORD
    for odd in ODD:
        yield f"{HALVES[0]}{odd}{HALVES[1]}"
        yield f"1234{odd}{PASSWORD}"
        yield f"{PASSWORD}{odd}"


def mistakes() -> Iterator[Any]:
    """Values that are wrong for most keys, each with the password in it."""
    yield PASSWORD
    yield f"env:{PASSWORD}"
    yield f"[{PASSWORD}"
    yield {"key": PASSWORD}
    yield [{"key": PASSWORD}]
    yield [PASSWORD, ""]
    for scheme in ("https", "s3", "ftp", "postgresql", "az", "nothing"):
        yield f"{scheme}://user:{PASSWORD}@127.0.0.1:1/place?key={PASSWORD}"


def told(values: dict[str, Any]) -> Iterator[str]:
    """What is said of settings with *values*, by whatever begins with them."""
    try:
        settings = config.settings(values)
        providers_of(settings)
    except ConfigError as error:
        yield str(error)
        return
    for begin in (
        place_of,
        lambda given: db.address(given.database_url),
        lambda given: db.address(given.listen_url),
    ):
        try:
            begin(settings)
        except (ConfigError, DatabaseError) as error:
            yield str(error)


@pytest.mark.parametrize("key", sorted(set(Settings.model_fields) - NAMES))
def test_no_mistake_in_a_setting_quotes_its_value(key: str) -> None:
    said = [(wrong, words) for wrong in mistakes() for words in told({key: wrong})]

    assert said, "nothing was wrong"
    assert [] == [(wrong, words) for wrong, words in said if quoted(words)]


@pytest.mark.parametrize("key", sorted(Retention.model_fields))
def test_no_mistake_in_the_retention_quotes_its_value(key: str) -> None:
    assert [] == [w for wrong in mistakes() for w in told({"retention": {key: wrong}}) if quoted(w)]


@pytest.mark.parametrize("provider", sorted(PROVIDERS))
def test_no_mistake_in_a_channel_quotes_its_value(provider: str) -> None:
    keys = {*ChannelSettings.model_fields, *PROVIDERS[provider].keys, "from"} - NAMES
    said = [
        (key, wrong, words)
        for key in sorted(keys)
        for wrong in mistakes()
        for words in told({"channels": {"us": {"provider": provider, "tokens": [TOKEN], key: wrong}}})
    ]

    assert len(said) > len(keys)
    assert [] == [one for one in said if quoted(one[2])]


@pytest.mark.parametrize(
    "toml",
    [
        "secret_key = Sesame Xanadu",
        'secret_key = "SesameXanadu',
        "secret_key = 'SesameXanadu' 'SesameXanadu'",
        'secret_key = "Sesame\\Xanadu"',
        'secret_key = ["SesameXanadu"',
        'secret_key = "SesameXanadu"\nsecret_key = "SesameXanadu"',
        '[channels]\napi_key = "SesameXanadu"',
        '[channels.us]\nprovider = "swift"\napi_key = SesameXanadu',
        "database_url = postgresql://user:SesameXanadu@db/x",
        'secret_key = "Sesame\udcffXanadu"',
    ],
)
def test_no_mistake_in_the_toml_quotes_a_credential(
    toml: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "postback.toml"
    path.write_text(toml, encoding="utf-8", errors="surrogateescape")
    monkeypatch.setenv("POSTBACK_CONFIG", str(path))
    with pytest.raises(ConfigError) as refused:
        config.load()

    assert [] == quoted(str(refused.value))


@pytest.mark.parametrize(
    ("name", "json_"),
    [
        ("POSTBACK_CHANNELS", '{"us": SesameXanadu}'),
        ("POSTBACK_CHANNELS", '["SesameXanadu"]'),
        ("POSTBACK_CHANNELS", '{"SesameXanadu"'),
        ("POSTBACK_SECRET_KEY", '["SesameXanadu'),
        ("POSTBACK_SECRET_KEY", "[SesameXanadu]"),
        ("POSTBACK_RETENTION", '{"days": SesameXanadu}'),
    ],
)
def test_no_mistake_in_the_json_of_a_variable_quotes_a_credential(
    name: str, json_: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, json_)
    with pytest.raises(ConfigError) as refused:
        config.settings({})

    assert [] == quoted(str(refused.value))


@pytest.mark.parametrize("key", ["database_url", "listen_url"])
async def test_no_sentence_on_a_database_quotes_a_password_however_odd(key: str, free_port: int) -> None:
    at = f"127.0.0.1:{free_port}"
    written = [
        *(
            f"postgresql://user:{password}@{at}/db{query}"
            for password in passwords()
            for query in ("", "?sslmode=x")
        ),
        *(f"postgresql://{at}/db?user=u&password={password}&sslmode=x" for password in passwords()),
        *(f"host=127.0.0.1 port={free_port} password='{PASSWORD}{odd}' sslmode=x" for odd in ODD),
        *(f"mysql://user:{password}@{at}/db" for password in passwords()),
    ]
    said = []
    for url in written:
        try:
            async with db.connected(config.settings({key: url}).model_dump()[key]):
                pass
        except (DatabaseError, ConfigError) as error:
            said.append((url, str(error)))

    assert len(written) == len(said)
    assert [] == [one for one in said if quoted(one[1])]


@pytest.mark.parametrize("scheme", ["s3", "gs", "az", "file", "ftp"])
def test_no_sentence_on_a_media_store_quotes_a_password_however_odd(scheme: str) -> None:
    said = []
    for password in passwords():
        for url in (
            f"{scheme}://user:{password}@bucket/place",
            f"{scheme}://bucket?secret_access_key={quote(password)}",
            f"{scheme}://user:{password}@[bucket",
        ):
            said += [(url, words) for words in told({"media_store": url})]

    assert said or scheme == "file"
    assert [] == [one for one in said if quoted(one[1])]


async def test_no_line_of_the_doctor_quotes_a_password_however_odd() -> None:
    """A password that is not encoded may make a host of the user, who has a name of this machine for that."""
    found = []
    port = free_port()
    for password in passwords():
        given = {
            "public_url": f"https://127.0.0.1:{password}@127.0.0.1:{port}/below?key={password}",
            "database_url": f"postgresql://127.0.0.1:{password}@127.0.0.1:{port}/db",
            "secret_key": f"{password:x<16}",
            "channels": {"us": {"provider": "swift", "tokens": [f"{password:x<16}"], "api_key": password}},
        }
        settings = config.settings(given)
        found += [finding for check in checkup.LOCAL for finding in check(settings)]
        found += await checkup.address(settings)
        found += [finding async for finding in checkup_database.examine(settings)]

    assert len(found) > len(list(passwords()))
    assert [] == [one for one in found if quoted(f"{one.said} {one.remedy}")]


@pytest.mark.parametrize("key", ["database_url", "listen_url", "public_url", "media_store", "base_url"])
def test_no_line_of_the_logs_has_the_password_of_an_address(
    key: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "_secrets", set())
    scheme = "postgresql" if key in ("database_url", "listen_url") else "https"
    for password in (PASSWORD, f"{HALVES[0]}/{HALVES[1]}", f"{HALVES[0]}@{HALVES[1]}", f"{PASSWORD}%21"):
        url = f"{scheme}://user:{password}@127.0.0.1/x"
        channel = {"provider": "sinch_mms", "tokens": [TOKEN], **({key: url} if key == "base_url" else {})}
        given = {"channels": {"us": channel}, **({key: url} if key != "base_url" else {})}
        logs.hide(config.settings(given))
        for words in (url, f"cannot reach {url}", f"user:{password}", password):
            line = logs.redact(
                structlog.get_logger(), "error", {"event": words, "reason": words, "more": [words]}
            )
            assert [] == quoted(json.dumps(line)), (url, words)


@pytest.mark.parametrize(
    "wrong",
    [
        {"POSTBACK_PUBLIC_URL": f"ftp://user:{PASSWORD}@example.com"},
        {"POSTBACK_DATABASE_URL": f"postgresql://user:{HALVES[0]}/{HALVES[1]}@127.0.0.1:1/db"},
        {
            "POSTBACK_MEDIA_STORE": f"ftp://user:{PASSWORD}@bucket",
            "POSTBACK_DATABASE_URL": "postgresql://127.0.0.1:1/x",
        },
    ],
    ids=lambda wrong: next(iter(wrong)),
)
@pytest.mark.parametrize("command", ["serve --port 0", "doctor"])
def test_no_command_quotes_a_credential(command: str, wrong: dict[str, str], tmp_path: Path) -> None:
    variables = {"POSTBACK_SECRET_KEY": f"{PASSWORD} of sixteen", **wrong}
    code, output, errors = run(*command.split(), cwd=tmp_path, **variables)

    assert 1 == code
    assert re.search(r"\w+", output + errors)
    assert [] == quoted(output + errors)
