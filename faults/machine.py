"""An installation to break: real commands in real processes, in a directory of its own."""

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import orjson

from benchmarks.stored import PostbackStore
from benchmarks.traffic import Known, known
from faults import processes
from faults.command import PATIENCE, Command
from faults.pair import Pair
from faults.ports import free_port
from faults.traffic import CHANNEL, OUR_NUMBER, TOKEN
from postback import practice
from postback.embedded import running_url, superuser_url
from postback.lifeline import die_with_parent
from postback.postgres_cluster import usable_for_socket
from simulator.door import KEY_HEADER

__all__ = ["ROOT", "SCRATCH", "SECRET_KEY", "Command", "Machine", "free_port", "machine"]

ROOT = Path(__file__).parent.parent
#: on the disk of the working copy: a temporary directory may be memory, where durability costs nothing
SCRATCH = ROOT / ".postback"
SECRET_KEY = "a key for faults"  # noqa: S105
#: of each log, shown where a row breaks off
LAST_LINES = 20


class Machine:
    """What `machine` starts everything with. *channel* are further keys of the one channel there is."""

    def __init__(self, directory: Path, stack: AsyncExitStack, channel: Mapping[str, Any]) -> None:
        self.directory = directory
        self.data_dir = directory / "data"
        self.port = free_port()
        #: what `database`, `serve` and `simulate` have started last
        self.server: Command
        self.web: Command
        self.carrier: Command
        #: where `replicated` was called, the servers instead of `server`
        self.pair: Pair | None = None
        self._carrier_port = 0
        self._stack = stack
        sinch = {"provider": "sinch_mms", "tokens": [TOKEN], "from": [OUR_NUMBER], "api_key": "none"}
        self._env = {
            "PATH": os.environ.get("PATH", ""),
            "PYTHONPATH": str(ROOT),
            "POSTBACK_DATA_DIR": str(self.data_dir),
            "POSTBACK_CHANNELS": orjson.dumps({CHANNEL: {**sinch, **channel}}).decode(),
        }

    @property
    def address(self) -> tuple[str, int]:
        """Returns where `up` and `serve` listen, before and after each restart."""
        return "127.0.0.1", self.port

    async def up(self, *, workers: int = 2) -> Command:
        """Starts everything under one supervisor, with its own Postgres and without the practice carrier."""
        return await self.command("up", "--no-simulator", "--port", str(self.port), "--workers", str(workers))

    async def serve(self, *, workers: int = 2, port: int = 0, **env: str) -> Command:
        """Starts the receiver alone, on *port* or ours; *env* are variables such as ``POSTBACK_SPOOL``."""
        self.web = await self.command(
            "serve", "--port", str(port or self.port), "--workers", str(workers), **env
        )
        return self.web

    async def database(self, **settings: str) -> Command:
        """Starts and migrates a Postgres that stays away when it is ended (`faults.database`)."""
        given = [f"{name}={value}" for name, value in settings.items()]
        server = await self._start("database", ["faults.database", str(self.data_dir), *given])
        await server.ready()
        self.server = server
        await self._migrate()
        return server

    async def replicated(self, *, synchronous: bool) -> Pair:
        """Starts two servers in the place of one, migrated, the second one following the first."""
        self.pair = Pair(self.directory, self._stack, synchronous=synchronous)
        self._env |= {"DATABASE_URL": self.pair.url, "POSTBACK_SECRET_KEY": SECRET_KEY}
        await self.pair.start()
        await self._migrate()
        await self.pair.follow()
        return self.pair

    async def simulate(self, port: int = 0) -> Command:
        """Starts the practice carrier, on *port* or where it was before; it calls back at our address."""
        self._carrier_port = port or self._carrier_port
        callbacks = "http://{}:{}".format(*self.address)
        self.carrier = await self.command(
            "simulate", "--port", str(self._carrier_port), "--callbacks", callbacks
        )
        return self.carrier

    @asynccontextmanager
    async def clients(self, within: float = 30) -> AsyncIterator[tuple[httpx.AsyncClient, httpx.AsyncClient]]:
        """Yields a client of the API with a key of every scope, which waits *within* seconds for an answer,
        and one of the practice carrier's control routes."""
        key = await self.output("keys", "create", "--name", "faults", "--scope", "read,send,admin")
        async with (
            httpx.AsyncClient(
                base_url="http://{}:{}".format(*self.address),
                headers={"authorization": f"Bearer {key}"}, timeout=within,
            ) as api,
            httpx.AsyncClient(
                base_url=f"http://127.0.0.1:{self._carrier_port}",
                headers={KEY_HEADER: practice.key(self.data_dir)}, timeout=30,
            ) as control,
        ):  # fmt: skip
            yield api, control

    async def output(self, *arguments: str) -> str:
        """Runs ``postback`` with *arguments* to its end; returns what it has printed."""
        started = await self._start(arguments[0], ["postback", *arguments])
        return await started.spoken()

    async def command(self, *arguments: str, **env: str) -> Command:
        """Starts ``postback`` with *arguments*; returns when it says that it is ready."""
        started = await self._start(arguments[0], ["postback", *arguments], **env)
        await started.ready()
        return started

    async def program(self, module: str, *arguments: str, **env: str) -> Command:
        """Starts *module* of this package in the same way."""
        started = await self._start(module, [module, *arguments], **env)
        await started.ready()
        return started

    async def background(self, *arguments: str, **env: str) -> Command:
        """Starts ``postback`` with *arguments*, and waits for nothing: some never say that they are ready."""
        return await self._start(arguments[0], ["postback", *arguments], **env)

    @property
    def database_url(self) -> str:
        """Returns that of the server that takes writes. Raises ``RuntimeError`` while it is away."""
        if self.pair is not None:
            return self.pair.primary.url
        url = running_url(self.data_dir)
        if url is None:
            raise RuntimeError("Postgres is away")
        return url

    @asynccontextmanager
    async def connection(self, within: float = PATIENCE, *, superuser: bool = False) -> AsyncIterator[Any]:
        """Yields a connection, as soon as there can be one; *superuser*: to one of `database`, as superuser.

        Raises ``TimeoutError``.
        """
        connected = None
        async with asyncio.timeout(within):
            while connected is None:
                with suppress(OSError, RuntimeError, asyncpg.PostgresError):
                    url = self.database_url
                    connected = await asyncpg.connect(superuser_url(url) if superuser else url)
                    break
                await asyncio.sleep(0.05)
        try:
            yield connected
        finally:
            await connected.close()

    async def sent_messages(self, number: int = 2000) -> list[Known]:
        """Stores *number* messages that the carrier has accepted; returns them for reports to come on."""
        messages = known(number)
        await PostbackStore(self.database_url).prepare(messages)
        return messages

    async def serves(self, within: float = PATIENCE) -> None:
        """Returns when a connection to our port is accepted. Raises ``TimeoutError``."""
        async with asyncio.timeout(within):
            while True:
                with suppress(OSError):
                    _, writer = await asyncio.open_connection(*self.address)
                    writer.close()
                    return
                await asyncio.sleep(0.02)

    async def _migrate(self) -> None:
        migrate = await self._start("migrate", ["postback", "migrate"])
        if await migrate.ended():
            raise RuntimeError(f"migrate failed: {migrate.log.read_text(encoding='utf-8')}")

    async def _start(self, name: str, arguments: list[str], **env: str) -> Command:
        log = self.directory / f"{name}.log"
        with log.open("ab") as errors:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", *arguments, cwd=self.directory, env={**self._env, **env},
                stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=errors,
                start_new_session=True, preexec_fn=die_with_parent(signal.SIGTERM),
            )  # fmt: skip
        started = Command(process, name, log)
        self._stack.push_async_callback(_over, started)
        return started


@asynccontextmanager
async def machine(**channel: Any) -> AsyncIterator[Machine]:
    """Yields an empty installation; all that it started ends with it, and its directory goes."""
    SCRATCH.mkdir(mode=0o700, exist_ok=True)
    # a socket's path is short; a working copy far down in the tree gets its directory elsewhere
    parent = SCRATCH if usable_for_socket(SCRATCH / "faults-12345678/data/pg18") else Path("/var/tmp")  # noqa: S108
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="faults-", dir=parent)))
        try:
            yield Machine(directory, stack, channel)
        except BaseException:
            _last_words(directory)
            raise


def _last_words(directory: Path) -> None:
    for log in (*directory.glob("*.log"), *directory.glob("data/*.log")):
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-LAST_LINES:]
        print(f"--- {log.name}", *lines, sep="\n", file=sys.stderr)


async def _over(command: Command) -> None:
    if not command.alive:
        return
    for pid in processes.descendants(command.pid):
        processes.send(pid, signal.SIGCONT)  # what is frozen could not end
    try:
        async with asyncio.timeout(20):
            await command.end()
    except TimeoutError:
        await command.erase()
