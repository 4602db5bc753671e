"""The documents against the code: what exists is described, and what is described exists."""

import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.core import TyperGroup

from postback.checkup_secrets import SAMPLES
from postback.cli import COMMANDS, loaded
from receiver.api import OPERATIONS
from receiver.auth import Scope
from receiver.config import ChannelSettings, Retention, Settings
from receiver.providers import PROVIDERS
from tests.support.processes import ROOT

CONFIGURATION = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")

#: what keys are called where they cannot be called so in Python
WRITTEN = {"db_schema": "schema", "numbers": "from"}
#: fields of a channel that are no keys: its name is the name of its table
NO_KEYS = {"name", "retention", "channels"}

_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_HOME = re.compile(r"/(?:home|Users)/\w+|/root/|[A-Z]:\\Users")
#: package indexes by their usual names, and any address that pip or uv would be pointed to
_REGISTRY = re.compile(
    r"(?i)https?://[^\s\"'<>]*(?:pypi|artifactory|nexus|devpi|/simple\b)|--(?:extra-)?index-url"
)


def files() -> Iterator[Path]:
    """Every text that belongs to the repository, committed or about to be."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],  # noqa: S607
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    names = listed.stdout.splitlines() if listed.returncode == 0 else []
    # an unpacked archive has no git: then everything but what tools leave behind
    found = [ROOT / name for name in names] or [
        path
        for path in ROOT.rglob("*")
        if not any(part.startswith(".") for part in path.relative_to(ROOT).parts)
    ]
    yield from (path for path in found if path.is_file() and path.suffix not in (".pyc", ".png"))


def pages() -> list[Path]:
    return sorted(path for path in files() if path.suffix == ".md")


def commands() -> Iterator[str]:
    """Every command with its name, those of a group one by one."""
    for name in COMMANDS:
        command = loaded(name)
        if not isinstance(command, TyperGroup):
            yield f"postback {name}"
            continue
        if command.invoke_without_command:
            yield f"postback {name}"
        yield from (f"postback {name} {below}" for below in command.commands)


def row(text: str, key: str) -> str | None:
    """The row of a table that begins with *key*."""
    found = re.search(rf"^\| (?:\[)?`{re.escape(key)}`.*$", text, re.MULTILINE)
    return found[0] if found else None


@pytest.mark.parametrize("model", [Settings, Retention, ChannelSettings])
def test_every_key_has_its_row_in_the_configuration_page(
    model: type[Settings] | type[Retention] | type[ChannelSettings],
) -> None:
    keys = [WRITTEN.get(name, name) for name in model.model_fields if name not in NO_KEYS]

    assert [] == [key for key in keys if row(CONFIGURATION, key) is None]


def test_a_default_that_is_a_number_or_a_word_is_the_one_in_the_table() -> None:
    stated = {
        WRITTEN.get(name, name): str(field.default).lower()
        if isinstance(field.default, bool)
        else field.default
        for model in (Settings, Retention, ChannelSettings)
        for name, field in model.model_fields.items()
        if isinstance(field.default, str | int | Path) and field.default != ""
    }

    assert {} == {
        key: default
        for key, default in stated.items()
        if f"| `{default}` |" not in (row(CONFIGURATION, key) or "")
    }


@pytest.mark.parametrize("name", sorted(PROVIDERS))
def test_every_provider_has_a_page_and_is_named_where_people_look(name: str) -> None:
    assert (ROOT / "docs" / "providers" / f"{name}.md").is_file()
    assert row(README, name)
    listed = row(CONFIGURATION, name) or ""
    missing = [key for key in PROVIDERS[name].keys if f"`{key}`" not in listed]
    assert [] == missing


def test_no_carrier_is_promised_that_is_not_there() -> None:
    promised = set(re.findall(r"^\| \[`(\w+)`\]\(docs/providers/", README, re.MULTILINE))

    assert set(PROVIDERS) == promised


def test_the_commands_and_the_table_of_commands_agree() -> None:
    listed = set(re.findall(r"^\| `(postback [a-z -]+)` \|", README, re.MULTILINE))

    assert set(commands()) == listed


def test_every_target_of_make_that_the_readme_names_exists() -> None:
    targets = set(re.findall(r"^(\w+):.*##", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))

    assert set(re.findall(r"`make (\w+)`", README)) <= targets


def test_every_dependency_has_its_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    required = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    names = {re.split(r"[\[<>=]", requirement)[0] for requirement in required}
    record = (ROOT / "docs" / "decisions" / "0005-dependencies.md").read_text(encoding="utf-8")
    explained = {
        name
        for cell in re.findall(r"^\| ([a-z0-9, -]+) \|", record, re.MULTILINE)
        for name in cell.split(", ")
    }

    assert names == explained - {"package"}


def test_every_decision_is_listed_and_says_why_and_what() -> None:
    directory = ROOT / "docs" / "decisions"
    index = (directory / "README.md").read_text(encoding="utf-8")
    records = sorted(path for path in directory.glob("0*.md"))

    assert [] == [path.name for path in records if f"({path.name})" not in index]
    for path in records:
        headings = re.findall(r"^## (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
        assert ["Status", "Context", "Decision"] == headings[:3], path.name


def test_every_component_that_waits_is_in_the_page_of_the_logs() -> None:
    """And nobody fails at every look with a line of its own."""
    code = "\n".join(
        file.read_text(encoding="utf-8")
        for room in ("receiver", "sender")
        for file in (ROOT / room).rglob("*.py")
    )
    named = {re.sub(r"\{.*\}", "<channel>", name) for name in re.findall(r'\bWaiting\(f?"([^"]+)"\)', code)}
    page = (ROOT / "docs" / "logs.md").read_text(encoding="utf-8").partition("## Waiting for Postgres")[2]
    table = page.partition("| `component` | of |")[2].partition("\n\n")[0]

    assert named == set(re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE))
    assert [] == re.findall(r'log\.\w+\("cannot (?:claim|poll|look|tidy)', code)


def test_every_relative_link_leads_somewhere() -> None:
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in pages()
        for target in _LINK.findall(_FENCE.sub("", page.read_text(encoding="utf-8")))
        if not target.startswith(("http://", "https://", "mailto:", "#"))
        and not (page.parent / target.partition("#")[0]).exists()
    ]

    assert [] == broken


def test_every_file_of_ours_that_a_document_names_exists() -> None:
    """But for the one that the recipe for a migration makes."""
    rooms = "|".join(sorted(path.name for path in ROOT.iterdir() if (path / "__init__.py").is_file()))
    name = re.compile(rf"`((?:{rooms})/[\w/.*-]+)`")
    missing = {
        f"{page.relative_to(ROOT)}: {path}"
        for page in pages()
        for path in name.findall(page.read_text(encoding="utf-8"))
        if not any(ROOT.glob(path))
    }

    assert {"CONTRIBUTING.md: migrations/versions/0002_the_mobile_carrier.py"} == missing


def test_no_file_names_somebodys_home_or_a_package_index() -> None:
    own = Path(__file__)
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in files()
        if path != own
        for pattern in (_HOME, _REGISTRY)
        for match in [pattern.search(path.read_text(encoding="utf-8", errors="replace"))]
        if match
    ]

    assert [] == found


def test_the_doctor_knows_every_token_of_the_documents() -> None:
    shown = {
        token
        for path in files()
        if path.suffix == ".md" or "examples" in path.parts
        for listed in re.findall(r"(?m)^tokens\s*=\s*\[(.*)\]", path.read_text(encoding="utf-8"))
        for token in re.findall(r'"([^"]*)"', listed)
        if not token.startswith("env:")
    }

    assert shown == SAMPLES


def test_the_table_of_scopes_has_every_route() -> None:
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(read|send|admin)` \| (.*) \|$", page, re.MULTILINE)
    told = {scope: set(re.findall(r"`([A-Z]+ [^`]+)`", routes)) for scope, routes in rows}

    found = {scope.value: {f"{o.method} {o.path}" for o in OPERATIONS if o.scope is scope} for scope in Scope}
    assert found == told
