"""Who is measured, each in processes of its own, on one Postgres with the settings that we ship."""

import asyncio
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import orjson

from benchmarks import by_hand
from benchmarks.stored import ByHandStore, PostbackStore, Store, connected
from benchmarks.traffic import CHANNEL, OUR_NUMBER, TOKEN, Known
from postback.embedded import EmbeddedPostgres
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
    """All contenders, ready to be called, and the database server under them."""

    echo: Contender
    by_hand: Contender
    postback: Contender
    postgres_pid: int
    postgres: Mapping[str, str]


@asynccontextmanager
async def started(messages: list[Known], *, workers: int) -> AsyncIterator[Field]:
    """*messages* are known to those that store anything."""
    SCRATCH.mkdir(mode=0o700, exist_ok=True)
    async with AsyncExitStack() as stack:
        data_dir = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-", dir=SCRATCH)))
        postgres = stack.enter_context(EmbeddedPostgres(data_dir))
        for name in ("postback", "by_hand"):
            async with connected(postgres.url) as connection:
                await connection.execute(f"CREATE DATABASE {name}")
        url = postgres.url.replace("/postgres?", "/postback?")
        await migrate.upgrade(url, SCHEMA)
        store = PostbackStore(url)
        await store.prepare(messages)
        hand_url = postgres.url.replace("/postgres?", "/by_hand?")
        await by_hand.prepare(hand_url, messages)
        processes = _Processes(stack, data_dir)
        yield Field(
            echo=await processes.served("echo", "", workers),
            by_hand=await processes.served("by_hand", hand_url, workers, ByHandStore(hand_url)),
            postback=await processes.postback(url, workers, store),
            postgres_pid=postgres.pid or 0,
            postgres=await _settings(url),
        )


class _Processes:
    """Starts them, and ends them with *stack*."""

    def __init__(self, stack: AsyncExitStack, data_dir: Path) -> None:
        self._stack, self._data_dir = stack, data_dir

    async def served(self, module: str, url: str, workers: int, store: Store | None = None) -> Contender:
        """A contender of this package: each worker listens for itself, on one port."""
        port, pids = 0, []
        for _ in range(workers):
            pid, address = await self._start("-m", "benchmarks.serving", module, url, str(port))
            port = address[1]
            pids.append(pid)
        return Contender(module, address, tuple(pids), store)

    async def postback(self, url: str, workers: int, store: Store) -> Contender:
        channel = {"provider": "sinch_mms", "tokens": [TOKEN], "from": [OUR_NUMBER]}
        environment = {
            "POSTBACK_DATABASE_URL": url,
            "POSTBACK_SECRET_KEY": "a key for benchmarks",
            "POSTBACK_DATA_DIR": str(self._data_dir),
            "POSTBACK_CHANNELS": orjson.dumps({CHANNEL: channel}).decode(),
        }
        pid, address = await self._start(
            "-m", "postback", "serve", "--port", "0", "--workers", str(workers), **environment
        )
        return Contender("postback", address, (pid,), store)

    async def _start(self, *arguments: str, **environment: str) -> tuple[int, tuple[str, int]]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, *arguments, cwd=self._data_dir, stdout=asyncio.subprocess.PIPE,
            env={"PATH": "", "PYTHONPATH": str(ROOT), **environment},
            preexec_fn=die_with_parent(signal.SIGTERM),
        )  # fmt: skip
        self._stack.push_async_callback(_end, process)
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
