"""The Procfile: run by honcho as people run it, and each line by a shell, as Heroku and Dokku do."""

import json
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from honcho.environ import parse_procfile

from tests.support.commands import Started, configured, environment, started
from tests.support.processes import ROOT, alive, children, eventually

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


@contextmanager
def honcho(*arguments: str, cwd: Path) -> Iterator[Started]:
    """``honcho`` in *cwd*, a directory with the Procfile, a configuration and an ``.env``."""
    programs = Path(sys.executable).parent
    env = environment(PATH=f"{programs}{os.pathsep}{os.environ['PATH']}")
    with started([str(programs / "honcho"), *arguments], cwd=cwd, env=env) as running:
        yield running


@pytest.fixture
def app(tmp_path: Path, database_url: str, free_port: int) -> Path:
    shutil.copy(ROOT / "Procfile", tmp_path)
    configured(tmp_path, database_url, "sinch-us", tokens=["a-token-of-tests"], api_key="k")
    (tmp_path / ".env").write_text(f"PORT={free_port}\nPOSTBACK_SCHEMA=by_honcho\n")
    return tmp_path


def test_honcho_runs_release_once_and_then_the_three_until_it_is_stopped(app: Path, free_port: int) -> None:
    with honcho("start", "release", cwd=app) as release:
        assert 0 == release.wait(), release.output

    with honcho("start", "web", "sender", "forwarder", cwd=app) as running:
        assert running.says("web.1       | ready ").endswith(f"ready http://0.0.0.0:{free_port}")
        running.says('"sending"')
        running.says('"forwarding"')
        answer = httpx.post(
            f"http://127.0.0.1:{free_port}/hooks/sinch-us/a-token-of-tests", json={"code": "N101"}
        )
        assert 200 == answer.status_code
        processes = [pid for child in children(running.process.pid) for pid in (child, *children(child))]
        assert 3 <= len(processes)
        assert 128 + signal.SIGTERM == running.ends(), "which is how honcho ends by this signal"
        assert eventually(lambda: not any(map(alive, processes)))
        stopped = [line for line in running.output if "stopped (rc=" in line]
        assert 3 == len(stopped), running.output
