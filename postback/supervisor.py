"""Several processes as one: started in order, started again when they die or hang, stopped together."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, STDOUT
from asyncio.subprocess import Process as Running
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from io import FileIO
from typing import Any

from postback import life
from postback.life import Signs
from postback.lifeline import die_with_parent

#: seconds that a process must live not to have died early
SETTLED = 5.0
#: seconds for a process to become ready
READY_TIMEOUT = 60.0
#: deaths in a row after which a process that never got going is given up
START_TRIES = 3
#: seconds before a process is started again: doubled with every early death, up to the longest
FIRST_DELAY, LONGEST_DELAY = 0.25, 10.0
#: seconds between SIGTERM and SIGKILL
GRACE = 10.0
#: bytes; a longer line is forwarded in pieces
LONGEST_LINE = 1 << 16


class SupervisorError(Exception):
    """A process cannot be started; the message names it and repeats its last words, in one sentence."""


@dataclass(frozen=True, slots=True)
class Process:
    """A child to be. *env* is laid over our own environment.

    *ready* is what the next process waits for: a check that is asked until it says yes (an ``OSError`` is
    a no), or the beginning of a line of the child's output, or None for nobody to wait.
    """

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    ready: Callable[[], Awaitable[bool]] | str | None = None


class Supervisor:
    """Runs *processes*, in their order, until SIGINT or SIGTERM, and forwards their output to standard error.

    *alongside* are endless tasks of our own, such as watching over the database; they are cancelled only
    when all processes are gone. Every child dies with us, even by SIGKILL (on Linux), and a child that dies
    takes its own children along.
    """

    def __init__(
        self, processes: Sequence[Process], *, alongside: Sequence[Callable[[], Awaitable[None]]] = ()
    ) -> None:
        self._processes = processes
        self._alongside = alongside

    async def run(self, on_ready: Callable[[], Awaitable[None]] | None = None) -> None:
        """Returns after SIGINT or SIGTERM, when all children are gone. Call it in the main thread.

        *on_ready* is called once, when all are ready; what it raises stops everything and is raised here.
        Raises ``SupervisorError``.
        """
        loop = asyncio.get_running_loop()
        stopping = asyncio.Event()
        for sent in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(sent, stopping.set)
        beside = [asyncio.ensure_future(task()) for task in self._alongside]
        work = asyncio.create_task(self._run_all(on_ready))
        stop = asyncio.create_task(stopping.wait())
        try:
            ended, _ = await asyncio.wait({work, stop, *beside}, return_when=asyncio.FIRST_COMPLETED)
            for task in ended:
                task.result()
        finally:
            await _cancel([work, stop])
            await _cancel(beside)
            for sent in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(sent)

    async def _run_all(self, on_ready: Callable[[], Awaitable[None]] | None) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for process in self._processes:
                    child = _Child(process)
                    group.create_task(child.keep_running())
                    await child.ready.wait()
                if on_ready:
                    await on_ready()
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None


class _Child:
    def __init__(self, process: Process) -> None:
        self.process = process
        #: the next process may start
        self.ready = asyncio.Event()
        if process.ready is None:
            self.ready.set()
        self._last_words = ""

    async def keep_running(self) -> None:
        """Until cancelled, which stops it. Raises ``SupervisorError`` when it never gets going."""
        loop = asyncio.get_running_loop()
        settled, deaths = False, 0
        while True:
            started = loop.time()
            code = await self._live()
            early = loop.time() - started < SETTLED
            settled = settled or (not early if self.process.ready is None else self.ready.is_set())
            deaths = deaths + 1 if early or not settled else 1
            if deaths >= START_TRIES and not settled:
                raise SupervisorError(
                    f"{self.process.name} stopped {deaths} times while starting, with exit code {code}; its "
                    f"last words were: {self._last_words or '(none)'}"
                )
            delay = min(FIRST_DELAY * 2.0 ** (deaths - 1), LONGEST_DELAY)
            self._say(f"ended with exit code {code}, and is started again in {delay:g} s")
            await asyncio.sleep(delay)

    async def _live(self) -> int:
        """One life, from start to end; the exit code, or minus the signal's number."""
        signs = Signs()
        try:
            running, output = await self._spawn(signs)
            forwarding = asyncio.create_task(self._forward(output))
            beside = [self._become_ready(running), self._watch(running, signs)]
            tasks = [forwarding, *map(asyncio.create_task, beside)]
            try:
                return await running.wait()
            finally:
                await _end(running)
                # What is still in the pipe is to be seen; what holds it open without us is not waited for.
                await asyncio.wait({forwarding}, timeout=1)
                await _cancel(tasks)
        finally:
            signs.close()

    async def _spawn(self, signs: Signs) -> tuple[Running, FileIO]:
        """The process and the read end of its output."""
        # Not asyncio's own pipe: with that, wait() goes on until the last grandchild has closed it.
        read, write = os.pipe()
        output = FileIO(read)
        # Python children would hold back the line that says they are ready while their buffer fills.
        env = {
            **os.environ,
            "PYTHONUNBUFFERED": "1",
            life.VARIABLE: str(signs.descriptor),
            **self.process.env,
        }
        # A group of its own: the terminal's Ctrl-C comes to us alone, and we stop everybody in our own way.
        try:
            running = await asyncio.create_subprocess_exec(
                *self.process.argv, env=env, stdin=DEVNULL, stdout=write, stderr=STDOUT, process_group=0,
                preexec_fn=die_with_parent(signal.SIGTERM), pass_fds=(signs.descriptor,),
            )  # fmt: skip
        except OSError as error:
            output.close()
            raise SupervisorError(f"{self.process.name} cannot be started ({error}); mend that.") from None
        finally:
            os.close(write)
            signs.inherited()
        return running, output

    async def _watch(self, running: Running, signs: Signs) -> None:
        await signs.missed()
        seconds = life.EVERY * life.SILENT_LOOKS
        self._say(f"gave no sign of life for {seconds:g} s, and is killed")
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(running.pid, signal.SIGKILL)

    async def _become_ready(self, running: Running) -> None:
        check = self.process.ready
        try:
            async with asyncio.timeout(READY_TIMEOUT):
                while callable(check) and not self.ready.is_set():
                    with suppress(OSError):
                        if await check():
                            self.ready.set()
                    await asyncio.sleep(0.05)
                await self.ready.wait()
        except TimeoutError:
            self._say(f"was not ready after {READY_TIMEOUT:.0f} s, and is stopped")
            await _end(running)

    async def _forward(self, output: FileIO) -> None:
        reader = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), output
        )
        rest = b""
        try:
            while chunk := await reader.read(LONGEST_LINE):
                *lines, rest = (rest + chunk).split(b"\n")
                if len(rest) >= LONGEST_LINE:
                    lines, rest = [*lines, rest], b""
                for line in lines:
                    self._hear(line)
        finally:
            if rest:
                self._hear(rest)
            transport.close()

    def _hear(self, line: bytes) -> None:
        text = line.decode(errors="replace").rstrip()
        self._last_words = text or self._last_words
        if isinstance(self.process.ready, str) and text.startswith(self.process.ready):
            self.ready.set()
        self._say(text)

    def _say(self, text: str) -> None:
        print(f"{self.process.name} | {text}", file=sys.stderr, flush=True)


async def _end(running: Running) -> None:
    """SIGTERM, then after ``GRACE`` SIGKILL to it and whatever it has started and left behind."""
    if running.returncode is None:
        with suppress(ProcessLookupError):
            running.terminate()
        with suppress(TimeoutError):
            async with asyncio.timeout(GRACE):
                await running.wait()
    # A web server killed outright leaves workers that hold its port, and its successor could not start.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(running.pid, signal.SIGKILL)
    await running.wait()


async def _cancel(tasks: Sequence[asyncio.Future[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
