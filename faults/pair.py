"""Two Postgres servers, one the standby of the other; the primary dies, the standby takes its place."""

import asyncio
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import asyncpg

from faults import processes
from postback import embedded, postgres_account, postgres_binaries, postgres_cluster
from postback.lifeline import die_with_parent

#: seconds for a server to start, to follow, or to take over
PATIENCE = 60.0
SETTINGS = {
    **embedded.SETTINGS,
    # of a standby that was cut off for a while, the primary still has what it lacks
    "wal_keep_size": "1GB",
    # a standby says how far it is, and is then the synchronous one
    "wal_receiver_status_interval": "1s",
}

_PROMOTE = "SELECT pg_promote(wait => true, wait_seconds => 60)"
_FOLLOWED = (
    "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND ($1 OR sync_state = 'sync')"
)
_RECEIVING = "SELECT EXISTS (SELECT FROM pg_stat_wal_receiver)"


class Server:
    """One of the two; its socket lies in *directory*, and its data below that."""

    def __init__(self, directory: Path) -> None:
        self.directory, self._cluster = directory, directory / "data"
        directory.mkdir(mode=0o700)
        self._binaries = postgres_binaries.find()
        self._account = postgres_account.choose(self._cluster, self._binaries.directory)
        self._account.own(directory)
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"postgresql://postgres@/postgres?host={self.directory}&port={embedded.PORT}"

    def make(self) -> None:
        """Makes an empty cluster."""
        postgres_cluster.make(self._cluster, self._binaries, self._account)

    async def copy(self, primary: "Server") -> None:
        """Becomes a copy of *primary* that follows it, whatever it was before."""
        shutil.rmtree(self._cluster, ignore_errors=True)
        self._cluster.mkdir(mode=0o700)
        self._account.own(self._cluster)
        copying = await self._spawn(
            "pg_basebackup", "--pgdata", str(self._cluster), "--host", str(primary.directory),
            "--port", str(embedded.PORT), "--username", "postgres", "--checkpoint", "fast",
            "--write-recovery-conf", "--no-sync",
        )  # fmt: skip
        if await copying.wait():
            raise RuntimeError(f"pg_basebackup of {primary.directory.name} failed; see the log")

    async def start(self) -> None:
        """Returns when it can be asked. Raises ``TimeoutError``."""
        settings = {**SETTINGS, "unix_socket_directories": str(self.directory)}
        given = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        self._process = await self._spawn("postgres", "-D", str(self._cluster), *given)
        await self.until("SELECT true")

    async def ask(self, *statements: str) -> None:
        """Runs each of *statements* by itself."""
        async with self._connected() as connection:
            for statement in statements:
                await connection.execute(statement)

    async def until(self, query: str, *values: Any) -> None:
        """Returns when *query* is answered with something true. Raises ``TimeoutError``."""
        async with asyncio.timeout(PATIENCE):
            while True:
                with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                    async with self._connected() as connection:
                        if await connection.fetchval(query, *values):
                            return
                await asyncio.sleep(0.05)

    def send(self, sent: signal.Signals) -> None:
        """Sends *sent* to the server and all its processes."""
        if self._process is not None:
            for pid in processes.descendants(self._process.pid):
                processes.send(pid, sent)

    async def end(self) -> None:
        """Returns when it is gone, killed with all its backends."""
        if self._process is not None:
            self.send(signal.SIGKILL)
            await self._process.wait()
            self._process = None

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[Any]:
        connection = await asyncpg.connect(self.url, timeout=5)
        try:
            yield connection
        finally:
            await connection.close()

    async def _spawn(self, program: str, *arguments: str) -> asyncio.subprocess.Process:
        with self.directory.with_suffix(".log").open("ab") as log:
            return await asyncio.create_subprocess_exec(
                *self._account.prefix, self._binaries.program(program), *arguments,
                stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, cwd="/",
                env=postgres_cluster.environment(), start_new_session=True,
                preexec_fn=die_with_parent(signal.SIGQUIT), **self._account.spawn_options,
            )  # fmt: skip


class Pair:
    """*primary* takes writes and, where *synchronous*, acknowledges what *standby* has too."""

    def __init__(self, directory: Path, stack: AsyncExitStack, *, synchronous: bool) -> None:
        self.primary, self.standby = Server(directory / "one"), Server(directory / "two")
        self._synchronous = synchronous
        for server in (self.primary, self.standby):
            stack.push_async_callback(server.end)
        hosts = f"{self.primary.directory},{self.standby.directory}"
        self.url = (
            f"postgresql://postgres@/postgres?host={hosts}&port={embedded.PORT},{embedded.PORT}"
            "&target_session_attrs=read-write"
        )

    async def start(self) -> None:
        """Starts the primary alone; `follow` gives it its standby."""
        self.primary.make()
        await self.primary.start()

    async def follow(self) -> None:
        """Makes the standby anew; returns when commits wait for it, or it has caught up."""
        await self.standby.copy(self.primary)
        await self.standby.start()
        if self._synchronous:
            # after the copy was made, so that the standby waits for nobody when it is promoted
            await self._set_primary("synchronous_standby_names", "*")
        await self.primary.until(_FOLLOWED, not self._synchronous)

    async def cut(self) -> None:
        """Cuts the standby off from the primary."""
        await self.standby.ask("ALTER SYSTEM SET primary_conninfo = ''", "SELECT pg_reload_conf()")
        await self.standby.until(f"SELECT NOT ({_RECEIVING})")

    async def promote(self) -> None:
        """Makes the standby take writes; the primary, gone or frozen, is the standby from now on."""
        await self.standby.ask(_PROMOTE)
        self.primary, self.standby = self.standby, self.primary

    async def _set_primary(self, name: str, value: str) -> None:
        await self.primary.ask(f"ALTER SYSTEM SET {name} = '{value}'", "SELECT pg_reload_conf()")
