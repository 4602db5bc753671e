"""What hangs is noticed: a web process, the sender and the forwarder of a real ``postback up``."""

import json
import os
import signal
from pathlib import Path

import httpx

from faults.processes import descendants
from tests.support.commands import postback
from tests.support.processes import alive, eventually

CHANNEL = {"provider": "sinch_mms", "tokens": ["a-token-of-tests"], "from": ["+18885551234"], "api_key": "k"}
HANGING = ("worker", "send", "forward")
#: seconds: ten without a sign, a start, and a machine that does other work
WITHIN = 60.0


def test_processes_that_hang_are_replaced_and_the_others_go_on(
    tmp_path: Path, database_url: str, free_port: int
) -> None:
    variables = {
        "DATABASE_URL": database_url,
        "POSTBACK_SECRET_KEY": "a secret key for tests",
        "POSTBACK_CHANNELS": json.dumps({"sinch-us": CHANNEL}),
    }
    with postback(
        "up", "--no-simulator", "--workers", "2", "--port", str(free_port), cwd=tmp_path, **variables
    ) as everything:
        address = everything.ready()
        everything.says("sending")
        everything.says("forwarding")

        def living(kind: str) -> list[int]:
            return [pid for pid, found in descendants(everything.process.pid).items() if found == kind]

        before = {kind: living(kind) for kind in HANGING}
        hung = {kind: pids[0] for kind, pids in before.items()}
        for pid in hung.values():
            os.kill(pid, signal.SIGSTOP)

        assert eventually(lambda: not any(map(alive, hung.values())), WITHIN)
        assert eventually(
            lambda: all(len(pids) == len(living(kind)) for kind, pids in before.items()), WITHIN
        )
        assert set(before["worker"]) & set(living("worker"))
        answer = httpx.post(
            f"{address}/hooks/sinch-us/a-token-of-tests", json={"code": "N101"}, timeout=WITHIN
        )
        assert 200 == answer.status_code
        assert 3 == sum("gave no sign of life" in line for line in everything.errors)
        assert 0 == everything.ends()
