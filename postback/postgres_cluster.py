"""The directory of an embedded Postgres, and what has to be true of it before a server may start there."""

import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import IO
from urllib.parse import quote

from postback import postmaster
from postback.lifeline import die_with_parent
from postback.postgres_account import Account
from postback.postgres_binaries import Binaries, EmbeddedPostgresError

#: sun_path holds 107 bytes on Linux and 103 on macOS, "/.s.PGSQL.5432.lock" is our part of them
LONGEST_SOCKET_DIR = 84
#: seconds for a server to leave whose parent is dead already
LEAVING_TIMEOUT = 60.0


def lock(cluster: Path) -> IO[str]:
    """The lock of *cluster*, held until it is closed or we die. Raises ``EmbeddedPostgresError``."""
    held = cluster.with_name(f"{cluster.name}.lock").open("a+", encoding="ascii")
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        held.seek(0)
        owner = held.read() or "unknown"
        held.close()
        raise EmbeddedPostgresError(
            f"The embedded Postgres in {cluster.parent} is run by another Postback (process {owner}); "
            "stop that one, or give this one a data_dir of its own."
        ) from None
    held.truncate(0)
    held.write(str(os.getpid()))
    held.flush()
    return held


def check_version(cluster: Path, major: int) -> None:
    """Refuses data that another major version wrote, also when it lies beside the place for ours: an empty
    database in its stead would look like a loss. Raises ``EmbeddedPostgresError``."""
    if (cluster / "PG_VERSION").exists():
        written = [cluster]
    else:
        written = [version.parent for version in sorted(cluster.parent.glob("pg*/PG_VERSION"))]
    for directory in written:
        found = (directory / "PG_VERSION").read_text(encoding="ascii").strip()
        if found != str(major):
            raise EmbeddedPostgresError(
                f"{directory} was written by PostgreSQL {found}, and the programs here are {major}; dump its "
                f"database postgres with version {found}'s pg_dump --no-owner, move it away, start Postback "
                "and restore the dump."
            )


def settle(cluster: Path) -> None:
    """Waits for a server that is going down, and clears away what a dead one left. The lock must be held.

    Raises ``EmbeddedPostgresError`` when a server runs there that is none of ours.
    """
    begun = time.monotonic()
    while (left := postmaster.read(cluster)) and left.alive:
        # Its parent is dead, or we would not have the lock: it got its signal a moment ago.
        waited = time.monotonic() - begun
        if waited > LEAVING_TIMEOUT or (waited > 5 and left.status != "stopping"):
            raise EmbeddedPostgresError(
                f"A Postgres that no Postback watches over (process {left.pid}) runs in {cluster}; stop it "
                f"with: kill -INT {left.pid}"
            )
        time.sleep(0.02)
    if left and left.pid_in_use:
        postmaster.discard(left)


def make(cluster: Path, binaries: Binaries, account: Account) -> None:
    """A new, empty cluster. It appears under its name only when it is whole.

    Raises ``EmbeddedPostgresError`` with initdb's last words, ``OSError``.
    """
    unfinished = cluster.with_name(f"{cluster.name}.new")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o700)
    account.own(unfinished)
    account.pass_through(cluster.parent)
    command = [*account.prefix, binaries.program("initdb"), "--pgdata", str(unfinished)]
    command += ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8"]
    if binaries.major >= 17:  # built in from there on: text keeps its order when the C library is updated
        command.append("--locale-provider=builtin")
    answer = subprocess.run(  # noqa: S603
        command, capture_output=True, text=True, check=False, cwd="/", env=environment(),
        preexec_fn=die_with_parent(signal.SIGTERM), **account.spawn_options,
    )  # fmt: skip
    if answer.returncode:
        reasons = [line for line in answer.stderr.splitlines() if "error" in line.lower()] or [
            "initdb failed"
        ]
        raise EmbeddedPostgresError(
            f"No database can be created in {cluster.parent} ({reasons[0]}); mend that, "
            "or set database_url to a server of your own."
        )
    unfinished.rename(cluster)
    _flush(cluster.parent)


def socket_dir(cluster: Path, account: Account) -> Path:
    """The cluster itself, which is 0700, unless its path is too long for a socket or would need quoting in a
    URL; then a new 0700 directory among the temporary files, to be removed by the caller."""
    if usable_for_socket(cluster):
        return cluster
    chosen = Path(tempfile.mkdtemp(prefix="postback-"))
    account.own(chosen)
    if not usable_for_socket(chosen):
        chosen.rmdir()
        raise EmbeddedPostgresError(
            f"Neither {cluster} nor {chosen.parent} has a path short and plain enough for a Unix socket "
            f"({LONGEST_SOCKET_DIR} bytes); set data_dir or TMPDIR to a shorter one."
        )
    return chosen


def usable_for_socket(directory: Path) -> bool:
    # unix_socket_directories is a list, SQLAlchemy and asyncpg split hosts at commas and colons, and
    # Alembic's configuration takes % for its own: a path that a URL quotes is more trouble than it is worth.
    path = str(directory)
    return len(os.fsencode(path)) <= LONGEST_SOCKET_DIR and quote(path) == path


def environment() -> dict[str, str]:
    """Ours, but for the variables by which a shell's PGPORT or PGDATA would reach the server."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")} | {"LC_ALL": "C"}


def _flush(directory: Path) -> None:
    # A rename is on disk only when its directory is.
    opened = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
