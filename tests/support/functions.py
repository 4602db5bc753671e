"""Our functions in the database by their plain names, and those of another release."""

import shutil
from pathlib import Path

from receiver.sql import Functions, qualified
from tests.support.processes import ROOT

SCHEMA = "postback"
#: what is imported when a process of ours runs
PACKAGES = ("models", "receiver", "sender", "simulator", "postback", "migrations")


def called(statement: str) -> str:
    """Returns *statement* with the names that our functions have in the tests' schema."""
    return qualified(statement, SCHEMA)


def changed(directory: Path, field: str = "note") -> Functions:
    """Returns the functions of a release whose requests have one *field* more, written to *directory*."""
    copy = directory / f"sql-{field}"
    shutil.copytree(ROOT / "receiver/sql", copy)
    _replace(copy / "types.sql", "received_at timestamptz\n);", f"received_at timestamptz, {field} text\n);")
    return Functions(copy)


def release(directory: Path, field: str) -> Path:
    """Returns a copy of our code, to run processes from, that writes one *field* more of each request: a type
    of the database's functions is another one."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, directory / package, ignore=shutil.ignore_patterns("__pycache__"))
    _replace(
        directory / "receiver/sql/types.sql",
        "received_at timestamptz\n);",
        f"received_at timestamptz, {field} text\n);",
    )
    _replace(
        directory / "receiver/rows.py",
        "    received_at: datetime\n\n\nclass EventRow",
        f"    received_at: datetime\n    {field}: str | None = None\n\n\nclass EventRow",
    )
    return directory


def _replace(file: Path, before: str, after: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert 1 == text.count(before), f"{file} has changed: {before!r} is not once in it"
    file.write_text(text.replace(before, after), encoding="utf-8")
