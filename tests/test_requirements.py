"""The two locks: one for what runs, and beside it one for what develops."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.pins import DEVELOPS, PIN, RUNS, pins, text
from tests.support.processes import ROOT

OURS = ("migrations", "models", "postback", "receiver", "sender", "simulator")
TOOLS = ("advisories", "benchmarks", "examples", "faults", "tests")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def imported(rooms: tuple[str, ...]) -> dict[str, Path]:
    """Returns the packages of others that the files of *rooms* import, and one of these files for each."""
    found: dict[str, Path] = {}
    for file in (file for room in rooms for file in (ROOT / room).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            for module in {name.partition(".")[0] for name in names}:
                if module not in sys.stdlib_module_names and module not in (*OURS, *TOOLS):
                    found[module] = file
    return found


def needed(asked: list[str]) -> dict[str, Requirement]:
    """Returns the packages that *asked* bring along on this machine, with one requirement of each."""
    found: dict[tuple[str, str], Requirement] = {}

    def follow(lines: list[str], extras: set[str]) -> None:
        for requirement in map(Requirement, lines):
            marker = requirement.marker
            if marker and not any(marker.evaluate({"extra": extra}) for extra in extras or {""}):
                continue
            key = (canonicalize_name(requirement.name), str(sorted(requirement.extras)))
            if key not in found:
                found[key] = requirement
                follow(requires(requirement.name) or [], requirement.extras)

    follow(asked, set())
    return {name: requirement for (name, _), requirement in found.items()}


def distributions(module: str) -> Iterator[str]:
    yield from map(canonicalize_name, packages_distributions().get(module, [module]))


def test_a_lock_is_nothing_but_pins_with_hashes() -> None:
    assert {RUNS: "", DEVELOPS: ""} == {lock: PIN.sub("", text(lock)) for lock in (RUNS, DEVELOPS)}


def test_no_package_is_in_both_locks_so_that_its_version_is_the_same_for_all() -> None:
    assert set() == pins(RUNS).keys() & pins(DEVELOPS).keys()


def test_all_that_is_imported_at_run_time_is_in_the_lock_that_runs() -> None:
    missing = {
        module: str(file.relative_to(ROOT))
        for module, file in imported(OURS).items()
        if not pins(RUNS).keys() & set(distributions(module))
    }

    assert {} == missing


def test_all_that_tools_and_tests_import_is_in_one_of_the_locks() -> None:
    missing = {
        module: str(file.relative_to(ROOT))
        for module, file in imported(TOOLS).items()
        if not (pins(RUNS) | pins(DEVELOPS)).keys() & set(distributions(module))
    }

    assert {} == missing


@pytest.mark.parametrize(
    ("asked", "locks", "elsewhere"),
    [
        (PROJECT["dependencies"] + PROJECT["optional-dependencies"]["objects"], [RUNS], set()),
        (PROJECT["optional-dependencies"]["dev"], [RUNS, DEVELOPS], {"pip"}),
    ],
    ids=["runs", "develops"],
)
def test_what_is_asked_for_is_pinned_with_all_that_it_needs(
    asked: list[str], locks: list[str], elsewhere: set[str]
) -> None:
    """But for pip, which every environment has from its Python."""
    pinned = {name: version for lock in locks for name, version in pins(lock).items()}
    brought = needed(asked)

    assert elsewhere == brought.keys() - pinned.keys()
    assert [] == [
        f"{requirement} is not {pinned[name]}"
        for name, requirement in brought.items()
        if name not in elsewhere and not requirement.specifier.contains(pinned[name], prereleases=True)
    ]


def test_nothing_that_only_develops_is_in_the_lock_that_runs() -> None:
    asked = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["objects"]
    elsewhere = set(re.findall(r"^([a-z0-9-]+)==\S+ ; .*(?:win32|cygwin)", text(RUNS), re.MULTILINE))

    assert set() == pins(RUNS).keys() - needed(asked).keys() - elsewhere
