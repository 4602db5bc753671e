"""The page that goes through the carriers' documents line by line, against the tests that it names."""

import ast
import re
import tomllib
from functools import cache

import pytest
from packaging.requirements import Requirement

from tests.support.cases import FIXTURES
from tests.support.processes import ROOT

PAGE = (ROOT / "docs" / "conformance.md").read_text(encoding="utf-8")
#: the documents and the card, and how many lines of each have a row at least
SECTIONS = {
    "VoiceTel, SMS": 8,
    "VoiceTel, MMS": 10,
    "Swift, MMS": 38,
    "Sinch, MMS": 48,
    "Cellcast, MMS": 19,
    "The card": 12,
}
PACKAGES = {"starlette", "uvicorn", "sqlmodel", "asyncpg", "httpx", "pytest-asyncio"}
TOP_LEVEL = ("pyproject.toml", "receiver", "models", "tests", "alembic.ini", "migrations", "Procfile")

_TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
_FIXTURE = re.compile(r"[(,] ?`(\w+/\w+)`(?=[),])")


def section(name: str) -> str:
    return PAGE.partition(f"\n## {name}\n")[2].partition("\n## ")[0]


def rows(text: str) -> list[tuple[str, ...]]:
    """The rows of the table in *text*, each as its cells, without the head."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines[2:]]


@cache
def functions_of(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in tree.body if isinstance(node, functions))


def test_every_document_has_its_section() -> None:
    assert list(SECTIONS) == re.findall(r"^## (.+)$", PAGE, re.MULTILINE)


@pytest.mark.parametrize("name", SECTIONS)
def test_every_line_has_a_test_or_says_why_it_has_none(name: str) -> None:
    found = rows(section(name))

    assert SECTIONS[name] <= len(found)
    assert [] == [row for row in found if len(row) != 3 or not (row[0] and row[1])]
    assert [] == [row for row in found if bool(_TEST.search(row[2])) == row[1].startswith("No test: ")]


def test_every_test_that_the_page_names_exists() -> None:
    named = set(_TEST.findall(PAGE))
    missing = [
        f"{path}::{name}"
        for path, name in sorted(named)
        if not (ROOT / path).is_file() or name not in functions_of(path) or not name.startswith("test_")
    ]

    assert named
    assert [] == missing


def test_every_fixture_that_the_page_names_exists_and_every_such_test_names_one() -> None:
    held = [row[2] for name in SECTIONS for row in rows(section(name))]
    named = {fixture for cell in held for fixture in _FIXTURE.findall(cell)}

    assert named
    assert [] == [fixture for fixture in sorted(named) if not (FIXTURES / f"{fixture}.json").is_file()]
    assert [] == [cell for cell in held if "of_its_fixture`" in cell and not _FIXTURE.search(cell)]


def test_the_packages_and_the_top_level_are_those_of_the_card() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    required = [*project["dependencies"], *project["optional-dependencies"]["dev"]]

    assert set() == PACKAGES - {Requirement(line).name for line in required}
    assert [] == [name for name in TOP_LEVEL if not (ROOT / name).exists()]
