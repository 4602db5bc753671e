"""The commands are imported when they are called, and say the same of themselves before and after."""

import subprocess
import sys

import pytest

from postback.cli import COMMANDS, loaded

#: each takes a tenth of a second and more
HEAVY = {"alembic", "asyncpg", "pydantic", "receiver", "sqlalchemy", "starlette", "uvicorn"}
#: packages that a command has no use for
NEEDLESS = {
    "keys": {"simulator.app", "receiver.api"},
    "secrets": {"simulator", "receiver.api"},
    "send": {"simulator", "receiver.api", "uvicorn"},
    "forward": {"simulator", "receiver.api"},
    "migrate": {"simulator", "receiver.api"},
}

IMPORTED = """
import sys
from postback.cli import loaded, main
command = sys.argv.pop()
if command == "main":
    try:
        main()
    except SystemExit:
        pass
else:
    loaded(command)
print("\\n".join(sys.modules))
"""


def imported(command: str, *arguments: str) -> set[str]:
    found = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", IMPORTED, *arguments, command], capture_output=True, text=True, check=True
    )
    return set(found.stdout.splitlines())


@pytest.mark.parametrize("argument", ["--help", "--version"])
def test_help_and_version_import_nothing_that_takes_long(argument: str) -> None:
    assert set() == HEAVY & imported("main", argument)


@pytest.mark.parametrize("command", sorted(NEEDLESS))
def test_a_command_imports_only_packages_that_it_uses(command: str) -> None:
    assert set() == NEEDLESS[command] & imported(command)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_the_line_of_a_command_is_its_own(name: str) -> None:
    assert COMMANDS[name][1] == loaded(name).help.splitlines()[0]
