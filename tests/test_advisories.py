"""`make audit`: pip-audit as it is, and in place of OSV a server on loopback that answers as OSV does."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any

import pytest

from tests.support.patience import PATIENCE
from tests.support.pins import DEVELOPS, RUNS, pins
from tests.support.processes import ROOT

#: answers a query with a status and a body; the query has the name and the version of a package
Answer = Callable[[str, str], tuple[int, Any]]


def against(package: str, fixed: str) -> dict[str, Any]:
    """Returns an advisory in OSV's form: https://ossf.github.io/osv-schema/."""
    ranges = [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": fixed}]}]
    return {
        "schema_version": "1.7.0",
        "id": "GHSA-aaaa-bbbb-cccc",
        "aliases": ["CVE-2026-1"],
        "summary": "Escape via strings",
        "affected": [{"package": {"name": package, "ecosystem": "PyPI"}, "ranges": ranges}],
    }


@contextmanager
def database(answer: Answer) -> Iterator[str]:
    """A server with OSV's route, and its address."""

    class Osv(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = json.loads(self.rfile.read(int(self.headers["content-length"])))
            status, body = answer(query["package"]["name"], query["version"])
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Osv) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1/query"
        finally:
            server.shutdown()
            thread.join()


def audit(url: str, seconds: float = PATIENCE) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603
        [sys.executable, "-m", "advisories", "--url", url, "--seconds", str(seconds)],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=2 * PATIENCE,
    )  # fmt: skip


def knowing(*advisories: tuple[str, dict[str, Any]]) -> Answer:
    """A database that knows the canary's advisory, and these of other packages."""
    known = {"jinja2": against("jinja2", "2.10.1"), **dict(advisories)}
    return lambda name, _: (200, {"vulns": [known[name]]} if name in known else {})


def test_a_vulnerability_of_what_either_lock_names_is_a_failure_that_names_it() -> None:
    answer = knowing(("starlette", against("starlette", "99.1")), ("pytest", against("pytest", "99.2")))
    with database(answer) as url:
        ended = audit(url)

    assert 1 == ended.returncode, ended.stderr
    told = "CVE-2026-1, GHSA-aaaa-bbbb-cccc, mended in"
    assert [
        f"pytest {pins(DEVELOPS)['pytest']}: {told} 99.2: Escape via strings",
        f"starlette {pins(RUNS)['starlette']}: {told} 99.1: Escape via strings",
    ] == sorted(line for line in ended.stdout.splitlines() if "mended in" in line)
    assert "SKIPPED" not in ended.stdout


def test_every_pin_of_both_locks_is_asked_about_and_none_known_is_a_success() -> None:
    asked: dict[str, str] = {}

    def answer(name: str, version: str) -> tuple[int, Any]:
        asked[name] = version
        return knowing()(name, version)

    with database(answer) as url:
        ended = audit(url)

    assert 0 == ended.returncode, ended.stderr
    assert {"jinja2": "2.4.1"} == dict(asked.items() - (pins(RUNS) | pins(DEVELOPS)).items())
    not_of_linux = {"colorama"}
    assert not_of_linux == (pins(RUNS) | pins(DEVELOPS)).keys() - asked.keys()
    assert f"packages audited: {len(asked) - 1}, vulnerabilities known: 0" in ended.stdout


def nothing_at_all(name: str, version: str) -> tuple[int, Any]:
    return 200, {}


def not_found(name: str, version: str) -> tuple[int, Any]:
    return 404, {"code": 5, "message": "not found"}


@pytest.mark.parametrize("answer", [nothing_at_all, not_found])
def test_a_mirror_that_knows_nothing_is_no_clean_bill_but_skipped_aloud(answer: Answer) -> None:
    with database(answer) as url:
        ended = audit(url)

    assert 0 == ended.returncode, ended.stderr
    assert ended.stdout.startswith("SKIPPED: nothing was audited"), ended.stdout
    assert "audited:" not in ended.stdout


def test_a_database_that_cannot_be_reached_is_skipped_aloud(free_port: int) -> None:
    ended = audit(f"http://127.0.0.1:{free_port}/v1/query")

    assert 0 == ended.returncode, ended.stderr
    assert ended.stdout.startswith("SKIPPED: nothing was audited"), ended.stdout
    assert "Connection refused" in ended.stdout


def test_a_database_that_never_answers_is_skipped_aloud_when_the_time_is_over() -> None:
    over = Event()

    def never(name: str, version: str) -> tuple[int, Any]:
        over.wait(2 * PATIENCE)
        return not_found(name, version)

    with database(never) as url:
        ended = audit(url, seconds=3)
        over.set()

    assert 0 == ended.returncode, ended.stderr
    assert "cannot be asked: its answers did not come in time" in ended.stdout


def test_a_database_that_breaks_in_the_middle_is_a_failure_and_nothing_that_was_found_sound() -> None:
    def answer(name: str, version: str) -> tuple[int, Any]:
        return knowing()(name, version) if name < "p" else (500, {})

    with database(answer) as url:
        ended = audit(url)

    assert 1 == ended.returncode
    assert "The audit broke" in ended.stderr
