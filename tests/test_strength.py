"""Tokens and secret keys that can be guessed, or that others know, are refused or named by the doctor."""

import json
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from postback import checkup_secrets
from postback.checkup import Level
from receiver import config, secrets
from receiver.config import ConfigError
from tests.support.commands import run

LONG, SHORT = "x" * 16, "x" * 15
DATABASE = "postgresql://postback:a-password-of-its-own@127.0.0.1:1/postback"
#: what carriers give out, and may be of any length
CARRIERS = {"api_key": "k", "basic": "u:p", "bearer": "b", "webhook_secret": "s"}


@pytest.fixture
def readable() -> Iterator[Path]:
    """A directory that every account reaches, which those of pytest are not."""
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        path = Path(directory)
        path.chmod(0o755)
        yield path


def given(*, tokens: Any = LONG, secret_key: Any = LONG, **channel: Any) -> dict[str, Any]:
    return {
        "database_url": DATABASE,
        "secret_key": secret_key,
        "channels": {"us": {"provider": "sinch_mms", "tokens": tokens, **channel}},
    }


@pytest.mark.parametrize("weak", [{"tokens": SHORT}, {"tokens": [LONG, SHORT]}, {"secret_key": SHORT}])
def test_a_secret_of_our_own_that_can_be_guessed_is_refused_and_not_quoted(weak: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as refused:
        config.settings(given(**weak))

    assert "shorter than 16 characters" in str(refused.value)
    assert SHORT not in str(refused.value)


def test_what_a_carrier_gave_us_is_taken_as_it_is() -> None:
    channel = config.settings(given(**CARRIERS)).channels["us"]

    assert ("k", ["u:p"], ["b"]) == (channel.option("api_key"), channel.basic, channel.bearer)


def test_an_old_short_secret_key_may_stand_behind_a_long_one_until_nothing_is_left_of_it() -> None:
    settings = config.settings(given(secret_key=[LONG, "old"]))
    [found] = checkup_secrets.secret_key(settings)

    assert [LONG, "old"] == secrets.configured(settings)
    assert (Level.WARNING, "an old one is shorter than 16 characters") == (found.level, found.said)


def test_a_short_key_beside_the_embedded_database_is_refused_too(tmp_path: Path) -> None:
    (tmp_path / secrets.FILE).write_text(SHORT)

    with pytest.raises(ConfigError, match="shorter than 16 characters"):
        secrets.load(config.settings({"data_dir": str(tmp_path)}))


@pytest.mark.parametrize(
    ("command", "weak"),
    [
        ("up --port 0", {"tokens": SHORT}),
        ("serve --port 0", {"secret_key": SHORT}),
        ("send", {"tokens": SHORT}),
        ("migrate", {"secret_key": SHORT}),
        ("keys list", {"tokens": SHORT}),
    ],
)
def test_no_command_starts_with_a_secret_that_can_be_guessed(
    command: str, weak: dict[str, Any], tmp_path: Path
) -> None:
    code, output, errors = run(*command.split(), cwd=tmp_path, **_variables(given(**weak)))

    assert (1, "", 1) == (code, output, len(errors.splitlines()))
    assert "shorter than 16 characters" in errors


@pytest.mark.parametrize("name", ["tokens", "secret_key"])
def test_the_command_that_a_refusal_names_makes_one_that_is_taken(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        config.settings(given(**{name: SHORT}))
    named = re.search(r"make one with: postback ([a-z]+ [a-z]+)", str(refused.value))
    assert named
    code, output, errors = run(*named[1].split(), cwd=tmp_path, **_variables(given(**{name: SHORT})))
    made = output.removesuffix("\n")

    assert (0, "") == (code, errors)
    assert re.fullmatch(r"[\w-]{32,}", made)
    config.settings(given(**{name: made}))


def test_the_doctor_says_how_to_mend_a_secret_that_can_be_guessed(tmp_path: Path) -> None:
    code, output, _ = run("doctor", cwd=tmp_path, **_variables(given(tokens=SHORT)))

    assert 1 == code
    assert output.startswith("failure   configuration  channels.us.tokens lists a token")


@pytest.mark.parametrize(
    ("mode", "holds", "level"),
    [
        (0o644, 'secret_key = "{LONG}"', Level.FAILURE),
        (0o644, 'database_url = "{DATABASE}"', Level.FAILURE),
        (0o644, '[channels.us]\nprovider = "sinch_mms"\ntokens = ["{LONG}"]', Level.FAILURE),
        (0o644, '[channels.us]\nprovider = "sinch_mms"\ntokens = ["env:A_TOKEN"]', Level.OK),
        (0o640, 'secret_key = "{LONG}"', Level.OK),
        (0o600, 'secret_key = "{LONG}"', Level.OK),
    ],
)
def test_a_configuration_with_credentials_that_everybody_can_read_is_named(
    mode: int, holds: str, level: Level, readable: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = readable / "postback.toml"
    path.write_text(holds.format(LONG=LONG, DATABASE=DATABASE))
    path.chmod(mode)
    monkeypatch.setenv("POSTBACK_CONFIG", str(path))
    monkeypatch.setenv("A_TOKEN", LONG)
    [found] = checkup_secrets.file(config.load())

    assert level is found.level
    assert str(path) in found.said
    assert ("o-r" in found.remedy) == (level is Level.FAILURE)


def test_a_directory_that_is_closed_to_others_closes_what_is_in_it(
    readable: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = readable / "postback.toml"
    path.write_text(f'secret_key = "{LONG}"')
    path.chmod(0o644)
    readable.chmod(0o750)
    monkeypatch.setenv("POSTBACK_CONFIG", str(path))

    assert [Level.OK] == [found.level for found in checkup_secrets.file(config.load())]


def test_a_token_of_the_documents_is_named() -> None:
    [sample] = checkup_secrets.tokens(config.settings(given(tokens=[LONG, "a-long-random-string"])))

    assert (Level.FAILURE, "channel us") == (sample.level, sample.check)
    assert "postback channels token" in sample.remedy
    assert [] == list(checkup_secrets.tokens(config.settings(given())))


def test_the_running_doctor_looks_at_file_and_tokens(tmp_path: Path) -> None:
    (tmp_path / "postback.toml").write_text(
        '[channels.us]\nprovider = "sinch_mms"\ntokens = ["a-long-random-string"]\n'
    )
    _, output, _ = run("doctor", cwd=tmp_path)

    assert re.search(r"^failure +channel us +its token is the sample", output, re.MULTILINE)
    assert re.search(r"^\w+ +configuration file ", output, re.MULTILINE)


def _variables(values: dict[str, Any]) -> dict[str, str]:
    return {
        "POSTBACK_DATABASE_URL": values["database_url"],
        "POSTBACK_SECRET_KEY": values["secret_key"],
        "POSTBACK_CHANNELS": json.dumps(values["channels"]),
    }
