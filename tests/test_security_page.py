"""The page of security against the code: its figures are those of the code, and what it names exists."""

import re
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from typing import Any

import pytest
from pydantic import BaseModel

import receiver
from faults import rows
from tests.support.processes import ROOT

PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
FIGURES = re.findall(r"^\| (.+?) \| ([\d,]+(?: [KMG]iB| s| %)?) \| `([\w.]+)` \|$", PAGE, re.MULTILINE)
UNITS = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "s": 1, "%": 0.01}

#: bounds of what we do, and of nothing that others send
OF_OURS = {
    "receiver.read.pattern.MOST_SPELLINGS",
    "receiver.rotation.MOST_NAMES",
}
#: what one carrier takes of a send is on the page of that carrier
OF_CARRIERS = re.compile(r"receiver\.providers\.\w+_request\.")


def value(figure: str) -> float:
    number, _, unit = figure.partition(" ")
    return int(number.replace(",", "")) * UNITS[unit]


def named(name: str) -> Any:
    """Returns what the code has by a dotted name: of a module, of a class, or the default of a setting."""
    parts = name.split(".")
    for end in range(len(parts) - 1, 0, -1):
        try:
            found: Any = import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        for part in parts[end:]:
            settings = isinstance(found, type) and issubclass(found, BaseModel)
            found = found.model_fields[part].default if settings else getattr(found, part)
        return found.total_seconds() if isinstance(found, timedelta) else found
    raise LookupError(name)


def bounds() -> set[str]:
    """Returns the names of all figures of the receiver that say how much of something there may be."""
    return {
        f"{module.name}.{name}"
        for module in walk_packages(receiver.__path__, "receiver.")
        for path in [Path(str(module.module_finder.path), f"{module.name.rpartition('.')[2]}.py")]  # type: ignore[union-attr]
        if path.is_file()
        for line in re.findall(r"^([A-Z_, ]+)(?:: \w+)? = ", path.read_text(encoding="utf-8"), re.MULTILINE)
        for name in line.split(", ")
        if re.match(r"(?:MOST|MAX|LARGEST|CAPACITY)(?:_|$)", name)
    }


@pytest.mark.parametrize(("figure", "name"), [(figure, name) for _, figure, name in FIGURES])
def test_a_figure_is_the_one_in_the_code(figure: str, name: str) -> None:
    assert named(name) == value(figure)


def test_every_row_that_names_the_code_has_a_figure_that_is_read() -> None:
    tables = PAGE.partition("## Bounds")[2].partition("\n## ")[0]

    assert 50 < len(FIGURES)
    assert len(FIGURES) == len(re.findall(r"^\| .+ \| `[\w.]+` \|$", tables, re.MULTILINE))
    assert len(FIGURES) == len({name for _, _, name in FIGURES})


def test_every_bound_of_the_receiver_has_its_row() -> None:
    told = {name for _, _, name in FIGURES} | {name.rpartition(".")[0] for _, _, name in FIGURES}
    missing = {name for name in bounds() - told - OF_OURS if not OF_CARRIERS.match(name)}

    assert set() == missing
    assert bounds() >= OF_OURS


def test_every_row_of_the_fault_table_that_it_names_exists() -> None:
    cells = " ".join(re.findall(r"rows? ((?:`[\w-]+`(?:, )?)+)", PAGE))
    listed = set(re.findall(r"`([\w-]+)`", cells)) | set(re.findall(r"--only ([\w-]+)", PAGE))

    assert {"strangers", "bombs", "slow", "fuzz"} == listed
    assert listed <= {row.name for row in rows.every()}


def test_every_test_that_is_about_strangers_is_named() -> None:
    about = {
        path.name for pattern in ("bounded", "foreign") for path in ROOT.glob(f"tests/test_*{pattern}*.py")
    }

    assert 5 == len(about)
    assert [] == [name for name in sorted(about) if f"`tests/{name}`" not in PAGE]
