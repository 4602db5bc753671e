"""A line of the logs has an end and costs little, whatever it is to tell of."""

import json
import re
import time
from pathlib import Path
from typing import Any

import httpx

from faults.ports import free_port
from postback import logs
from receiver import config, masking
from tests.support import commands
from tests.support.effort import cpu_seconds

AWAY = """
database_url = "postgresql://nobody@127.0.0.1:{gone}/nowhere"
secret_key = ["a-secret-key-for-tests"]
"""


def written(**event: Any) -> dict[str, Any]:
    return dict(logs.redact(None, "info", {"level": "info", "timestamp": "now", **event}))


def test_a_text_is_cut_before_it_is_masked_and_says_how_much_was_left_out() -> None:
    began = time.process_time()
    said = written(event="lost", reason=" " * 1_000_000 + "x", more={"said": ["(" * 1_000_000]})

    assert " " * 2_000 + "… (998001 more)" == said["reason"]
    assert "(" * 2_000 + "… (998000 more)" == said["more"]["said"][0]
    assert time.process_time() - began < 1


def test_a_credential_or_a_number_is_not_cut_in_half() -> None:
    secret, number = "s" * 40 + "-a-secret", "+12065550123"
    for before in range(1_900, 2_600, 7):
        for hidden in (secret, number, f"postgresql://user:{secret}@host"):
            shown = masking.text("x " * (before // 2) + hidden + " y" * 3_000, re.compile(re.escape(secret)))

            assert "ssss" not in shown
            assert "206555" not in shown


def test_a_line_has_few_values_few_levels_and_few_characters() -> None:
    deep: Any = "end"
    for _ in range(1_000):
        deep = [deep]
    said = written(event="many", listed=list(range(1_000)), deep=deep, named=dict.fromkeys(range(99), 1))
    wide = written(event="wide", rows=[["y" * 1_900] * 50] * 50)

    assert [*range(50), "… (950 more)"] == said["listed"]
    assert [[[[["… (1 more)"]]]]] == said["deep"]
    assert "… (49 more)" == said["named"]["…"]
    assert len(json.dumps(wide)) < 20_000


def test_an_exception_is_told_shortly_however_long_its_words_and_its_history_are() -> None:
    def deeper(level: int) -> None:
        if level:
            deeper(level - 1)
        raise ValueError("[" * 100_000 + "{" * 100_000)

    try:
        deeper(200)
    except ValueError as error:
        began = time.process_time()
        told = logs._told((type(error), error, error.__traceback__))
        assert time.process_time() - began < 1

    assert "deeper" in told
    assert 41 == len(told.splitlines())
    assert len(told) < 10_000


def test_of_a_call_that_postgres_did_not_answer_the_operation_is_logged_and_not_the_address(
    tmp_path: Path,
) -> None:
    (tmp_path / "postback.toml").write_text(AWAY.format(gone=free_port()))
    port = free_port()
    # without a proof, as keys of earlier versions are: only Postgres knows them
    blanks, key = "%20" * 21_000, f"Bearer pb_{'0' * 32}.{'canary-secret':-<43}"
    with commands.postback("serve", "--port", str(port), cwd=tmp_path) as served:
        served.ready()
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=60) as client:
            before = cpu_seconds(served.process.pid)
            for ours in ("+12065550123", *["x"] * 9):
                answer = client.get(f"/v1/opt-outs/{ours}/{blanks}", headers={"authorization": key})
                assert 503 == answer.status_code
            spent = cpu_seconds(served.process.pid) - before
        served.says("database unavailable")
        said = [json.loads(line) for line in served.errors if "database unavailable" in line]

    assert {"GET /v1/opt-outs/{our_number}/{contact}"} == {line["route"] for line in said}
    assert "2065550123" not in json.dumps(said)
    assert spent < 5, "ten calls took fifty seconds of the processor when their paths were masked"


def test_every_secret_of_the_settings_is_hidden_in_a_long_line_too() -> None:
    logs.hide(config.settings({"secret_key": ["a-secret-key-that-is-hidden"]}))

    said = written(event="x" * 1_990 + "a-secret-key-that-is-hidden" + "x" * 5_000)

    assert "a-secret" not in said["event"]
