"""The ``postback`` command as people run it: processes of their own, in a directory that is not ours."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from tests.support.patience import COMMAND, PATIENCE
from tests.support.processes import ROOT, eventually


def environment(**variables: str) -> dict[str, str]:
    """*variables* and what surrounds the tests, without settings that somebody may have for their own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("POSTBACK_")}
    kept.pop("DATABASE_URL", None)
    return {**kept, "PYTHONPATH": str(ROOT), **variables}


def configured(directory: Path, database_url: str, channel: str, **keys: Any) -> Path:
    """Returns *directory* with a configuration of one Sinch *channel*, of which *keys* are further keys."""
    (directory / "postback.toml").write_text(
        f"""
        database_url = "{database_url}"
        secret_key = ["a secret key for tests"]
        [channels.{channel}]
        provider = "sinch_mms"
        """
        + "".join(f"{name} = {json.dumps(value)}\n" for name, value in keys.items())
    )
    return directory


def run(*arguments: str, cwd: Path, **variables: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of ``postback`` with *arguments*."""
    ended = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "postback", *arguments], cwd=cwd, env=environment(**variables), text=True,
        stdin=subprocess.DEVNULL, capture_output=True, timeout=COMMAND, check=False,
    )  # fmt: skip
    return ended.returncode, ended.stdout, ended.stderr


class Started:
    """A command that runs until it is told to stop; all that it says is kept."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.output: list[str] = []
        self.errors: list[str] = []
        streams = ((process.stdout, self.output), (process.stderr, self.errors))
        self._readers = [threading.Thread(target=_keep, args=stream) for stream in streams]
        for reader in self._readers:
            reader.start()

    def says(self, words: str, within: float = COMMAND) -> str:
        """The first line that has *words* in it, once it is said, on whichever stream."""
        found: list[str] = []

        def said() -> bool:
            found.extend(line.strip() for line in [*self.output, *self.errors] if words in line)
            return bool(found) or self.process.poll() is not None

        eventually(said, within)
        assert found, f"{words!r} was not said: {self.output} {self.errors}"
        return found[0]

    def ready(self) -> str:
        """The address that its first line of output names."""
        eventually(lambda: bool(self.output) or self.process.poll() is not None, PATIENCE)
        assert self.output, f"it was never ready: {self.errors}"
        announced, _, address = self.output[0].strip().partition(" ")
        assert "ready" == announced, self.output
        return address

    def ends(self, sent: signal.Signals = signal.SIGTERM, within: float = PATIENCE) -> int:
        """The exit code after *sent*."""
        self.process.send_signal(sent)
        return self.wait(within)

    def wait(self, within: float = PATIENCE) -> int:
        """The exit code, once it has ended by itself."""
        code = self.process.wait(within)
        self.finish()
        return code

    def finish(self) -> None:
        """Waits until the last word is kept."""
        for reader in self._readers:
            reader.join()


def _keep(stream: IO[str], lines: list[str]) -> None:
    with stream:
        lines.extend(stream)


@contextmanager
def started(
    command: Sequence[str] | str, *, cwd: Path, env: Mapping[str, str], shell: bool = False
) -> Iterator[Started]:
    """Runs *command*; what is left of it at the end is killed, with all that it started."""
    process = subprocess.Popen(  # noqa: S603
        command, cwd=cwd, env=dict(env), text=True, shell=shell, start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    running = Started(process)
    try:
        yield running
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        running.finish()


@contextmanager
def postback(*arguments: str, cwd: Path, **variables: str) -> Iterator[Started]:
    """``postback`` with *arguments*, for as long as it is needed."""
    command = [sys.executable, "-m", "postback", *arguments]
    with started(command, cwd=cwd, env=environment(**variables)) as running:
        yield running
