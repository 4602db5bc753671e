"""Who is measured, each in processes of its own, on one Postgres with the settings that we ship."""

import asyncio
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

import orjson

from benchmarks import by_hand
from benchmarks.carrier import API_KEY, PATH
from benchmarks.stored import ByHandStore, PostbackStore, Store, connected
from benchmarks.traffic import CHANNEL, OUR_NUMBER, TOKEN, Known
from postback.embedded import EmbeddedPostgres, superuser_url
from postback.lifeline import die_with_parent
from receiver import migrate

ROOT = Path(__file__).parent.parent
#: on the disk of the working copy: a temporary directory may be memory, where durability costs nothing
SCRATCH = ROOT / ".postback"
SCHEMA = "postback"


@dataclass(frozen=True, slots=True)
class Contender:
    """*pids* are its processes; *store* is None where nothing is stored."""

    name: str
    address: tuple[str, int]
    pids: tuple[int, ...]
    store: Store | None = None


@dataclass(frozen=True, slots=True)
class Field:
    """All contenders, ready to be called, and the database server under them; *processes* starts more."""

    echo: Contender
    by_hand: Contender
    postback: Contender
    postgres_pid: int
    postgres: Mapping[str, str]
    processes: "Processes"


@asynccontextmanager
async def started(messages: list[Known], *, workers: int) -> AsyncIterator[Field]:
    """*messages* are known to those that store anything."""
    SCRATCH.mkdir(mode=0o700, exist_ok=True)
    async with AsyncExitStack() as stack:
        data_dir = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-", dir=SCRATCH)))
        postgres = stack.enter_context(EmbeddedPostgres(data_dir, superuser=True))
        processes = Processes(stack, data_dir, superuser_url(postgres.url))
        url = await processes.migrated("postback")
        store = PostbackStore(url)
        await store.prepare(messages)
        hand_url = await processes.database("by_hand")
        await by_hand.prepare(hand_url, messages)
        yield Field(
            echo=await processes.served("echo", "", workers),
            by_hand=await processes.served("by_hand", hand_url, workers, ByHandStore(hand_url)),
            postback=await processes.postback(url, workers, store),
            postgres_pid=postgres.pid or 0,
            postgres=await _settings(url),
            processes=processes,
        )


class Processes:
    """Starts databases and contenders, and ends them with *stack*."""

    def __init__(self, stack: AsyncExitStack, data_dir: Path, postgres_url: str) -> None:
        self._stack, self._data_dir, self._postgres_url = stack, data_dir, postgres_url

    async def database(self, name: str) -> str:
        """The URL of a new and empty database."""
        async with connected(self._postgres_url) as connection:
            await connection.execute(f"CREATE DATABASE {name}")
        return self._postgres_url.replace("/postgres?", f"/{name}?")

    async def migrated(self, name: str) -> str:
        """The URL of a new database with Postback's tables."""
        url = await self.database(name)
        await migrate.upgrade(url, SCHEMA)
        return url

    async def served(self, module: str, url: str, workers: int, store: Store | None = None) -> Contender:
        """A contender of this package: each worker listens for itself, on one port."""
        port, pids = 0, []
        for _ in range(workers):
            pid, address = await self._ready("-m", "benchmarks.serving", module, url, str(port))
            port = address[1]
            pids.append(pid)
        return Contender(module, address, tuple(pids), store)

    async def postback(self, url: str, workers: int, store: Store | None = None) -> Contender:
        pid, address = await self._ready(
            "-m",
            "postback",
            "serve",
            "--port",
            "0",
            "--workers",
            str(workers),
            environment=self._settings(url),
        )
        return Contender("postback", address, (pid,), store)

    async def ready(self, *arguments: str, name: str) -> Contender:
        """A process of this package that says where it is reached."""
        pid, address = await self._ready(*arguments)
        return Contender(name, address, (pid,))

    async def forwarder(self, url: str) -> int:
        """``postback forward``; its pid."""
        with (self._data_dir / "forwarder.log").open("wb") as log:
            settings = self._settings(url)
            return (await self._start("-m", "postback", "forward", environment=settings, log=log)).pid

    async def sender(self, url: str, carrier: Contender) -> int:
        """``postback send`` to *carrier*; its pid."""
        settings = self._settings(url, f"http://{carrier.address[0]}:{carrier.address[1]}")
        with (self._data_dir / "sender.log").open("wb") as log:  # a line per call
            return (await self._start("-m", "postback", "send", environment=settings, log=log)).pid

    async def key(self, url: str) -> str:
        """An API key of the installation on *url*."""
        process = await self._start(
            "-m",
            "postback",
            "keys",
            "create",
            "--name",
            "bench",
            "--scope",
            "read,send,admin",
            environment=self._settings(url),
        )
        assert process.stdout
        key = (await process.stdout.read()).decode().strip()
        await process.wait()
        return key

    def _settings(self, url: str, carrier: str = "http://127.0.0.1:9") -> dict[str, str]:
        channel = {
            "provider": "sinch_mms",
            "tokens": [TOKEN],
            "from": [OUR_NUMBER],
            "api_key": API_KEY,
            "base_url": f"{carrier}{PATH}",
            "rate": 1_000_000,
        }
        return {
            "POSTBACK_DATABASE_URL": url,
            "POSTBACK_SECRET_KEY": "a key for benchmarks",
            "POSTBACK_DATA_DIR": str(self._data_dir),
            "POSTBACK_PRIVATE_NETWORKS": '["127.0.0.0/8"]',
            "POSTBACK_CHANNELS": orjson.dumps({CHANNEL: channel}).decode(),
        }

    async def _start(
        self, *arguments: str, environment: Mapping[str, str] = {}, log: IO[bytes] | None = None
    ) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable, *arguments, cwd=self._data_dir, stdout=asyncio.subprocess.PIPE,
            stderr=log, env={"PATH": "", "PYTHONPATH": str(ROOT), **environment},
            preexec_fn=die_with_parent(signal.SIGTERM),
        )  # fmt: skip
        self._stack.push_async_callback(_end, process)
        return process

    async def _ready(
        self, *arguments: str, environment: Mapping[str, str] = {}
    ) -> tuple[int, tuple[str, int]]:
        process = await self._start(*arguments, environment=environment)
        assert process.stdout
        line = (await process.stdout.readline()).decode()
        if not line.startswith("ready "):
            raise RuntimeError(f"{' '.join(arguments)} did not start; its last words stand above")
        url = urlsplit(line.split()[1])
        assert url.hostname
        assert url.port
        return process.pid, (url.hostname, url.port)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
    await process.wait()


async def _settings(url: str) -> dict[str, str]:
    """What a reader has to know to believe the figures."""
    names = (
        "server_version",
        "fsync",
        "synchronous_commit",
        "full_page_writes",
        "shared_buffers",
        "max_wal_size",
    )
    async with connected(url) as connection:
        return {name: str(await connection.fetchval(f"SHOW {name}")) for name in names}
