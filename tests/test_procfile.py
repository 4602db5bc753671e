"""The Procfile, read by honcho's parser, and each line started by a shell as honcho starts it."""

import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from honcho.environ import parse_procfile

from tests.support.commands import Started, environment, started
from tests.support.processes import ROOT, children

COMMANDS = parse_procfile((ROOT / "Procfile").read_text()).processes
CHANNEL = {
    "provider": "sinch_mms",
    "tokens": ["a-token-of-tests"],
    "from": ["+18885551234"],
    "api_key": "k",
}


@contextmanager
def process(name: str, cwd: Path, database_url: str, **variables: str) -> Iterator[Started]:
    """The process *name*, with the command found where an environment that is switched on has it."""
    env = environment(
        PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        DATABASE_URL=database_url,
        POSTBACK_SECRET_KEY="a secret key for tests",
        POSTBACK_CHANNELS=json.dumps({"sinch-us": CHANNEL}),
        **variables,
    )
    with started(COMMANDS[name], cwd=cwd, env=env, shell=True) as running:  # noqa: S604 - as honcho does
        yield running


def ended(running: Started) -> int:
    """The exit code after SIGTERM, which goes to the command and not to the shell that waits for it."""
    command = children(running.process.pid) or [running.process.pid]
    os.kill(command[0], signal.SIGTERM)
    return running.wait()


def test_it_names_a_release_and_the_three_processes() -> None:
    assert ["release", "web", "sender", "forwarder"] == list(COMMANDS)


def test_release_migrates_an_empty_schema_for_the_web_process(
    tmp_path: Path, database_url: str, free_port: int
) -> None:
    where = {"POSTBACK_SCHEMA": "fresh"}
    with process("release", tmp_path, database_url, **where) as release:
        assert 0 == release.wait()

    with process("web", tmp_path, database_url, PORT=str(free_port), **where) as web:
        assert f"http://0.0.0.0:{free_port}" == web.ready()
        answer = httpx.post(
            f"http://127.0.0.1:{free_port}/hooks/sinch-us/a-token-of-tests", json={"code": "N101"}
        )
        assert 200 == answer.status_code
        assert 0 == ended(web)


@pytest.mark.parametrize(("name", "working"), [("sender", '"sending"'), ("forwarder", '"forwarding"')])
def test_a_background_process_works_until_it_is_told_to_stop(
    name: str, working: str, tmp_path: Path, database_url: str
) -> None:
    with process(name, tmp_path, database_url) as running:
        running.says(working)
        assert 0 == ended(running)
        assert [] == running.output
