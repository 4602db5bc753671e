"""The configuration: where its values come from, and the one sentence in which a mistake ends."""

import json
import os
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from receiver import config
from receiver.channel_checks import providers_of
from receiver.config import ConfigError, Settings

NEW = "a key that has just been made"
TOKEN = "a-token-of-tests"
CARRIER = f'[channels.sinch-us]\nprovider = "sinch_mms"\ntokens = ["{TOKEN}"]\n'


@pytest.fixture(autouse=True)
def nothing_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each test begins in an empty directory, and without anybody's settings."""
    for name in list(os.environ):
        if name.startswith("POSTBACK_") or name == "DATABASE_URL":
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def written(toml: str) -> Settings:
    """What is read from a ``postback.toml`` in the working directory."""
    Path("postback.toml").write_text(toml, encoding="utf-8")
    return config.load()


def refusal(toml: str = "") -> str:
    """The sentence with which *toml* is refused."""
    with pytest.raises(ConfigError) as refused:
        written(toml)
    return str(refused.value)


def test_without_a_file_everything_has_its_default() -> None:
    settings = config.load()

    assert settings.embedded
    assert ("postback", "US", Path(".postback")) == (
        settings.db_schema,
        settings.default_region,
        settings.data_dir,
    )
    assert {} == settings.channels


def test_the_file_that_postback_config_names_is_read_instead_of_the_one_here(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "other.toml").write_text('schema = "other"')
    monkeypatch.setenv("POSTBACK_CONFIG", str(tmp_path / "other.toml"))

    assert "other" == written('schema = "here"').db_schema


@pytest.mark.parametrize(
    ("variables", "toml", "expected"),
    [
        ({}, "", ""),
        ({"DATABASE_URL": "postgresql://general"}, "", "postgresql://general"),
        ({"DATABASE_URL": "postgresql://general"}, 'database_url = "postgresql://file"', "postgresql://file"),
        (
            {"DATABASE_URL": "postgresql://general", "POSTBACK_DATABASE_URL": "postgresql://ours"},
            'database_url = "postgresql://file"',
            "postgresql://ours",
        ),
    ],
)
def test_our_own_variable_goes_before_the_file_and_the_file_before_database_url(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], toml: str, expected: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    assert expected == written(toml).database_url


@pytest.mark.parametrize(
    ("name", "value", "key", "expected"),
    [
        ("POSTBACK_SCHEMA", "tenant_7", "db_schema", "tenant_7"),
        ("POSTBACK_SECRET_KEY", "one/long/secret+key=", "secret_key", ["one/long/secret+key="]),
        ("POSTBACK_SECRET_KEY", f'["{NEW}", "old"]', "secret_key", [NEW, "old"]),
        ("POSTBACK_TRUSTED_PROXIES", "10.0.0.0/8", "trusted_proxies", [ip_network("10.0.0.0/8")]),
        ("POSTBACK_API_RATE", "50", "api_rate", 50),
        ("POSTBACK_KEEP_ALIVE", "90", "keep_alive", 90),
        ("POSTBACK_SPOOL", "false", "spool", False),
        ("POSTBACK_DATA_DIR", "/var/lib/postback", "data_dir", Path("/var/lib/postback")),
    ],
)
def test_every_kind_of_key_can_be_set_in_the_environment(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, key: str, expected: Any
) -> None:
    monkeypatch.setenv(name, value)

    assert expected == getattr(config.load(), key)


def test_a_key_of_a_table_is_set_with_two_underscores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTBACK_RETENTION__PAYLOADS", "7")

    retention = written("[retention]\nbodies = 14").retention

    assert (7, 14, 400) == (retention.payloads, retention.bodies, retention.messages)


def test_channels_in_the_environment_are_json_and_join_those_of_the_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    channel = {
        "provider": "sinch_mms",
        "tokens": [TOKEN],
        "from": ["+18885551234"],
        "api_key": "env:SINCH_KEY",
    }
    monkeypatch.setenv("POSTBACK_CHANNELS", json.dumps({"sinch-ca": channel}))
    monkeypatch.setenv("SINCH_KEY", "s3cret")

    channels = written(CARRIER).channels

    assert ["sinch-ca", "sinch-us"] == sorted(channels)
    assert ("sinch-ca", ["+18885551234"], "s3cret") == (
        channels["sinch-ca"].name,
        channels["sinch-ca"].numbers,
        channels["sinch-ca"].option("api_key"),
    )


def test_a_value_is_read_from_the_variable_that_it_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SINCH_KEY", "s3cret")
    monkeypatch.setenv("OLD_TOKEN", "an-older-token-of-the-tests")

    channel = written(CARRIER.replace('"]', '", "env:OLD_TOKEN"]') + 'api_key = "env:SINCH_KEY"').channels[
        "sinch-us"
    ]

    assert ([TOKEN, "an-older-token-of-the-tests"], "s3cret") == (channel.tokens, channel.option("api_key"))


@pytest.mark.parametrize(
    ("toml", "parts"),
    [
        ('databse_url = ""', ['"databse_url"', '"database_url"']),
        ("[retention]\nmessage = 3", ['"retention.message"', '"messages"']),
        ('[channels.a]\ntokens = ["a-token-of-tests"]', ['"channels.a.provider"', "add it"]),
        ('[channels.a]\nprovider = "sinch_mms"', ["channels.a", "no authentication", "insecure = true"]),
        ('[channels.a]\nprovider = "sinch_mms"\ntokens = []', ["channels.a", "no authentication"]),
        (CARRIER.replace('"]', '", ""]'), ["channels.sinch-us.tokens", "empty"]),
        ('[channels.a]\nprovider = "sinch_mms"\nbearer = ""', ["channels.a.bearer", "empty"]),
        ('[channels.a]\nprovider = "sinch_mms"\nbearer = ["b", ""]', ["channels.a.bearer", "empty"]),
        ('[channels.a]\nprovider = "sinch_sms"\nwebhook_secret = ""', ["channels.a.webhook_secret", "empty"]),
        ('[channels.a]\nprovider = "sinch_mms"\nbasic = ["a:b", "c"]', ["a.basic", '"user:password"']),
        ('[channels.a]\nprovider = "sinch_mms"\nbasic = "user"', ["channels.a.basic", '"user:password"']),
        (CARRIER.replace("sinch-us", '"a/b"'), ['"a/b"', "URL", "letters"]),
        (CARRIER.replace("sinch-us", '""'), ['""', "URL"]),
        (CARRIER.replace("sinch-us", '"."'), ['"."', "URL"]),
        (CARRIER.replace("sinch-us", '"sms é"'), ['"sms é"', "URL"]),
        ('channels = "sinch"', ['"channels"', "dictionary"]),
        (CARRIER + "rate = 0", ['"channels.sinch-us.rate"', "greater than 0"]),
        (CARRIER + "max_body = -1", ['"channels.sinch-us.max_body"', "greater than 0"]),
        (CARRIER + "from = [18885551234]", ['"channels.sinch-us.from.0"', "string"]),
        (CARRIER + 'allow_from = ["10.0.0.1/8"]', ['"channels.sinch-us.allow_from.0"', "10.0.0.1/8"]),
        ('private_networks = ["home"]', ['"private_networks.0"', "192.0.2.0/24"]),
        (CARRIER + 'default_region = "USA"', ['"channels.sinch-us.default_region"', "two capital letters"]),
        (CARRIER + 'api_key = "env:UNSET_KEY"', ["channels.sinch-us.api_key", "UNSET_KEY", "set it"]),
        ('secret_key = ["env:NOBODY_SET_THIS"]', ["secret_key", "NOBODY_SET_THIS", "set it"]),
        ('schema = "My Schema"', ['"schema"', "lower-case letters"]),
        ('schema = "pg_mine"', ['"schema"', "pg_"]),
        (f'schema = "{"x" * 49}"', ['"schema"', "48 at most"]),
        ('default_region = "us"', ['"default_region"', "two capital letters"]),
        ('public_url = "sms.example.com"', ["public_url", "https://", "write it so"]),
        ("api_rate = 0", ['"api_rate"', "greater than 0"]),
        ("keep_alive = 0", ['"keep_alive"', "greater than 0"]),
        ("schema postback", ["postback.toml", "TOML", "line 1"]),
    ],
)  # fmt: skip
def test_a_mistake_is_one_sentence_that_names_the_key_and_what_to_do(toml: str, parts: list[str]) -> None:
    sentence = refusal(toml)

    assert [] == [part for part in parts if part not in sentence]
    assert "\n" not in sentence
    assert sentence.endswith(".")


@pytest.mark.parametrize(
    ("name", "value", "parts"),
    [
        ("POSTBACK_CONFIG", "nowhere.toml", ["nowhere.toml", "create it", "POSTBACK_CONFIG"]),
        ("POSTBACK_CONFIG", ".", ["cannot be read"]),
        ("POSTBACK_CHANNELS", '{"a": ', ["POSTBACK_CHANNELS", "not JSON"]),
        ("POSTBACK_CHANNELS", '{"a": {"provider": "sinch_mms"}}', ["channels.a", "no authentication"]),
        ("POSTBACK_SECRET_KEY", '["new", ', ['"secret_key"', "JSON"]),
        ("POSTBACK_API_RATE", "many", ['"api_rate"', "integer"]),
        ("POSTBACK_SCHEMA", "a-b", ['"schema"', "underscores"]),
        ("POSTBACK_RETENTION__PAYLOAD", "3", ['"retention.payload"', '"payloads"']),
        ("POSTBACK_DATABSE_URL", "x", ["POSTBACK_DATABSE_URL", "POSTBACK_DATABASE_URL"]),
        ("POSTBACK_CHANELS", "{}", ["POSTBACK_CHANELS", "POSTBACK_CHANNELS"]),
    ],
)
def test_a_mistake_in_the_environment_is_one_sentence_as_well(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, parts: list[str]
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(ConfigError) as refused:
        config.load()

    assert [] == [part for part in parts if part not in str(refused.value)]
    assert "\n" not in str(refused.value)


def test_a_secret_is_never_repeated_in_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTBACK_SECRET_KEY", '["hunter2", ')

    with pytest.raises(ConfigError) as refused:
        config.load()

    assert "hunter2" not in str(refused.value)


def test_variables_that_kubernetes_sets_for_a_service_of_our_name_are_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("POSTBACK_PORT", "POSTBACK_SERVICE_HOST", "POSTBACK_PORT_8080_TCP_ADDR"):
        monkeypatch.setenv(name, "10.0.0.1")

    assert config.load().embedded


@pytest.mark.parametrize(
    "proof", ['basic = "user:password"', 'bearer = "b"', 'allow_from = ["192.0.2.0/24"]', "insecure = true"]
)
def test_a_channel_without_tokens_needs_another_proof_or_the_word_insecure(proof: str) -> None:
    settings = written(f'[channels.a]\nprovider = "sinch_mms"\ntokens = []\n{proof}')

    assert [] == settings.channels["a"].tokens


def test_a_signature_is_a_proof_only_with_a_provider_that_verifies_it() -> None:
    """Which only the place that knows the providers can tell."""
    channel = '[channels.a]\nprovider = "{}"\ntokens = []\nwebhook_secret = "s"'

    providers_of(written(channel.format("sinch_sms")))
    with pytest.raises(ConfigError) as refused:
        providers_of(written(channel.format("sinch_mms")))

    assert "channels.a has no authentication: sinch_mms signs no callbacks" in str(refused.value)


def test_a_list_of_one_may_be_written_without_brackets() -> None:
    channel = written(CARRIER.replace(f'["{TOKEN}"]', f'"{TOKEN}"') + 'from = "+18885551234"').channels[
        "sinch-us"
    ]

    assert ([TOKEN], ["+18885551234"]) == (channel.tokens, channel.numbers)


@pytest.mark.parametrize(
    ("given", "known"),
    [
        ("one", ["one"]),
        ('["one", "two"]', ["one", "two"]),
        ("[one", ["[one"]),
        ("[1", ["[1"]),
    ],
)
def test_secrets_of_a_channel_are_one_or_a_list_in_the_environment_too(
    monkeypatch: pytest.MonkeyPatch, given: str, known: list[str]
) -> None:
    monkeypatch.setenv("POSTBACK_CHANNELS__SINCH-US__BEARER", given)
    channel = written(CARRIER).channels["sinch-us"]

    assert (known, [], []) == (channel.bearer, channel.basic, channel.webhook_secret)


def test_a_secret_of_a_list_is_read_from_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEW", "n")
    channel = written(CARRIER + 'bearer = ["env:NEW", "old"]\nwebhook_secret = "w"').channels["sinch-us"]

    assert (["n", "old"], ["w"]) == (channel.bearer, channel.webhook_secret)


def test_keys_of_a_provider_are_kept_for_it() -> None:
    """Whether it knows them is asked where the providers are known."""
    channel = written(CARRIER + 'service_id = "5210"').channels["sinch-us"]

    assert ("5210", "") == (channel.option("service_id"), channel.option("api_key"))
