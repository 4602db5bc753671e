"""The supervisor over real, small children. It runs in a process of its own, which takes the signals."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support import processes

RUNNER = """
import asyncio, json, sys
from pathlib import Path
from postback import life, supervisor
from postback.supervisor import Process, Supervisor, SupervisorError

supervisor.GRACE = 2.0
life.SILENT_LOOKS = 3

async def asked():
    return Path("asked").exists()

async def on_ready():
    print("all ready", flush=True)

async def beside():
    try:
        await asyncio.sleep(60)
    finally:
        Path("beside").write_text("ended")

children = [
    Process(name, [sys.executable, "-c", code], ready=asked if ready == "asked" else ready)
    for name, code, ready in json.loads(sys.argv[1])
]
try:
    asyncio.run(Supervisor(children, alongside=[beside]).run(on_ready))
except SupervisorError as error:
    sys.exit(f"refused: {error}")
print("stopped", flush=True)
"""

#: each life of a child adds its pid to a file with the child's name
LIFE = """
import os, signal, subprocess, sys, time
with open({name!r}, "a") as lives:
    lives.write(f"{{os.getpid()}}\\n")
"""
STAY = "time.sleep(60)"
STUBBORN = "signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
READY = "print('ready http://127.0.0.1:1'); time.sleep(60)"

SHOW = """
import asyncio
from postback import life

async def main():
    async with life.shown():
        print("showing", flush=True)
        await asyncio.sleep(0.5)
        {then}
        await asyncio.sleep(60)

asyncio.run(main())
"""
#: gives signs of life, for ever or until it loops
ALIVE, LOOPING = SHOW.format(then=""), SHOW.format(then="while True: pass")

Child = tuple[str, str, str | None]


class Supervised:
    """A supervisor at work in *directory*."""

    def __init__(self, process: subprocess.Popen[str], directory: Path) -> None:
        self.process = process
        self.directory = directory

    def lives(self, name: str) -> list[int]:
        """The pids that the child *name* has had so far, oldest first."""
        try:
            return [int(pid) for pid in (self.directory / name).read_text().splitlines()]
        except FileNotFoundError:
            return []

    def has_lived(self, name: str, times: int = 1) -> bool:
        """Whether it starts for the *times*-th time, within a few seconds."""
        return processes.eventually(lambda: times == len(self.lives(name)))

    def pids(self) -> list[int]:
        return [
            pid for file in self.directory.iterdir() if file.name != "beside" for pid in self.lives(file.name)
        ]

    def none_left(self) -> bool:
        return not any(processes.alive(pid) for pid in self.pids())

    def end(self, sent: signal.Signals) -> tuple[int, str, str]:
        """Exit code, standard output and standard error after *sent*."""
        self.process.send_signal(sent)
        output, errors = self.process.communicate(timeout=15)
        return self.process.returncode, output, errors


@contextmanager
def supervised(directory: Path, *children: Child) -> Iterator[Supervised]:
    given = json.dumps([(name, LIFE.format(name=name) + code, ready) for name, code, ready in children])
    with processes.python(RUNNER, given, cwd=directory) as process:
        yield Supervised(process, directory)


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_all_children_and_then_what_ran_beside_them(
    tmp_path: Path, sent: signal.Signals
) -> None:
    with supervised(tmp_path, ("web", READY, "ready http"), ("sender", STAY, None)) as running:
        assert "all ready" == processes.line(running.process)
        assert processes.eventually(lambda: 2 == len(running.pids()))
        code, output, _ = running.end(sent)
        assert (0, "stopped\n") == (code, output)
        assert running.none_left()
    assert "ended" == (tmp_path / "beside").read_text()


def test_ctrl_c_in_the_terminal_reaches_the_supervisor_alone(tmp_path: Path) -> None:
    """The terminal signals the whole foreground group; a child in it would end in its own, other order."""
    loud = "signal.signal(signal.SIGINT, lambda *_: print('hit by Ctrl-C')); " + STAY
    with supervised(tmp_path, ("web", loud, None)) as running:
        assert "all ready" == processes.line(running.process)
        assert processes.eventually(lambda: 1 == len(running.pids()))
        assert os.getpgid(running.process.pid) != os.getpgid(running.lives("web")[0])
        assert "hit by Ctrl-C" not in running.end(signal.SIGINT)[2]


def test_a_child_that_ignores_sigterm_is_killed_after_the_grace(tmp_path: Path) -> None:
    with supervised(tmp_path, ("web", STUBBORN, None)) as running:
        assert "all ready" == processes.line(running.process)
        assert processes.eventually(lambda: 1 == len(running.pids()))
        time.sleep(0.2)
        begun = time.monotonic()
        code, _, _ = running.end(signal.SIGTERM)
        assert 0 == code
        assert 2.0 <= time.monotonic() - begun
        assert running.none_left()


def test_no_child_outlives_a_supervisor_that_was_killed(tmp_path: Path) -> None:
    with supervised(tmp_path, ("web", READY, "ready http"), ("sender", STAY, None)) as running:
        assert processes.eventually(lambda: 2 == len(running.pids()))
        running.process.kill()
        assert processes.eventually(running.none_left, timeout=5)


def test_a_dead_child_comes_back_and_the_others_stay(tmp_path: Path) -> None:
    with supervised(tmp_path, ("web", READY, "ready http"), ("sender", STAY, None)) as running:
        assert processes.eventually(lambda: 2 == len(running.pids()))
        for death in range(1, 4):
            os.kill(running.lives("web")[-1], signal.SIGKILL)
            assert running.has_lived("web", times=death + 1)
        assert 1 == len(running.lives("sender"))
        assert running.process.poll() is None
        errors = running.end(signal.SIGTERM)[2]
        delays = [line.rpartition(" in ")[2] for line in errors.splitlines() if "is started again" in line]
        assert ["0.25 s", "0.5 s", "1 s"] == delays


def test_a_child_that_hangs_is_replaced_and_those_that_live_or_give_no_signs_stay(tmp_path: Path) -> None:
    hanging = ("web", "loop")
    with supervised(
        tmp_path,
        ("web", ALIVE, "showing"),
        ("loop", LOOPING, None),
        ("sender", ALIVE, None),
        ("other", STAY, None),
    ) as running:
        assert "all ready" == processes.line(running.process)
        os.kill(running.lives("web")[0], signal.SIGSTOP)
        assert processes.eventually(lambda: 2 <= min(len(running.lives(name)) for name in hanging))
        assert not processes.alive(running.lives("web")[0])
        assert [1, 1] == [len(running.lives(name)) for name in ("sender", "other")]
        errors = running.end(signal.SIGTERM)[2].splitlines()
        silent = [line.split()[0] for line in errors if "gave no sign of life for 3 s" in line]
        assert set(hanging) == set(silent)


def test_a_supervisor_that_was_held_up_itself_blames_no_child(tmp_path: Path) -> None:
    with supervised(tmp_path, ("web", ALIVE, "showing"), ("sender", ALIVE, None)) as running:
        assert "all ready" == processes.line(running.process)
        assert processes.eventually(lambda: 2 == len(running.pids()))
        all_of_it = [running.process.pid, *running.pids()]
        for _ in range(3):  # as a machine that is suspended, or has no time for any of them
            for pid in all_of_it:
                os.kill(pid, signal.SIGSTOP)
            time.sleep(2.5)
            os.kill(running.process.pid, signal.SIGCONT)
            time.sleep(1.5)  # and the children get their time a little later
            for pid in all_of_it:
                os.kill(pid, signal.SIGCONT)
            time.sleep(0.1)
        assert all_of_it[1:] == running.pids()
        assert "no sign of life" not in running.end(signal.SIGTERM)[2]


def test_what_a_dead_child_had_started_goes_with_it(tmp_path: Path) -> None:
    """A web server's workers would keep its port from its successor."""
    worker = f"subprocess.Popen([sys.executable, '-c', {LIFE.format(name='worker') + STAY!r}]); " + STAY
    with supervised(tmp_path, ("web", worker, None)) as running:
        assert running.has_lived("worker")
        os.kill(running.lives("web")[0], signal.SIGKILL)
        assert processes.eventually(lambda: not processes.alive(running.lives("worker")[0]))
        assert running.has_lived("web", times=2)


def test_children_start_in_order_each_when_the_one_before_it_is_ready(tmp_path: Path) -> None:
    slow = "time.sleep(0.5); print('warming up'); print('ready http://127.0.0.1:1'); time.sleep(60)"
    with supervised(
        tmp_path, ("web", slow, "ready http"), ("sender", STAY, "asked"), ("late", STAY, None)
    ) as running:
        assert running.has_lived("sender")
        born = [(tmp_path / name).stat().st_mtime for name in ("web", "sender")]
        assert 0.5 <= born[1] - born[0]
        time.sleep(0.3)
        assert [] == running.lives("late")
        (tmp_path / "asked").touch()
        assert "all ready" == processes.line(running.process)
        assert running.has_lived("late")


def test_output_is_forwarded_to_standard_error_under_the_childs_name(tmp_path: Path) -> None:
    talk = "print('to stdout'); print('to stderr', file=sys.stderr); " + READY
    with supervised(tmp_path, ("web", talk, "ready http")) as running:
        assert "all ready" == processes.line(running.process)
        code, output, errors = running.end(signal.SIGTERM)
        assert (0, "stopped\n") == (code, output)
        assert ["web | to stdout", "web | to stderr", "web | ready http://127.0.0.1:1"] == errors.splitlines()


def test_what_a_child_says_while_it_stops_is_forwarded_whole(tmp_path: Path) -> None:
    polite = (
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit('x' * 200_000 + chr(10) + 'goodbye')); " + READY
    )
    with supervised(tmp_path, ("web", polite, "ready http")) as running:
        assert "all ready" == processes.line(running.process)
        lines = running.end(signal.SIGTERM)[2].splitlines()
        assert 200_000 == sum(line.count("x") for line in lines)
        assert "web | goodbye" == lines[-1]


def test_a_child_that_cannot_start_ends_everything_with_its_last_words(tmp_path: Path) -> None:
    refuse = "sys.exit('The port 8080 is taken; choose another with --port.')"
    with supervised(tmp_path, ("sender", STAY, None), ("web", refuse, "ready http")) as running:
        output, errors = running.process.communicate(timeout=20)
        assert (1, "") == (running.process.returncode, output)
        assert (
            "refused: web stopped 3 times while starting, with exit code 1; its last words were: "
            "The port 8080 is taken; choose another with --port."
        ) == errors.splitlines()[-1]
        assert 3 == len(running.lives("web"))
        assert running.none_left()


def test_a_child_that_nobody_waits_for_and_that_dies_at_once_ends_everything_too(tmp_path: Path) -> None:
    with supervised(tmp_path, ("sender", "sys.exit(3)", None)) as running:
        errors = running.process.communicate(timeout=20)[1]
        assert 1 == running.process.returncode
        assert (
            "refused: sender stopped 3 times while starting, with exit code 3; its last words were: (none)"
            == errors.splitlines()[-1]
        )


def test_a_program_that_does_not_exist_is_named(tmp_path: Path) -> None:
    missing = (
        "import asyncio\n"
        "from postback.supervisor import Process, Supervisor\n"
        "asyncio.run(Supervisor([Process('web', ['/no/such/program'])]).run())"
    )
    with processes.python(missing, cwd=tmp_path) as process:
        errors = process.communicate(timeout=10)[1]
        assert 1 == process.returncode
        assert "web cannot be started ([Errno 2] No such file or directory: '/no/such/program')" in errors
