"""``postback doctor``: one line a check, and what to do where something is wrong."""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from postback import checkup, checkup_database, checkup_secrets
from postback.checkup import Finding, Level, failure, ok
from postback.start import connected
from receiver import config
from receiver.channel_checks import providers_of
from receiver.config import ConfigError

_STYLES = {Level.OK: "green", Level.WARNING: "yellow", Level.FAILURE: "bold red"}


def doctor() -> None:
    """Checks configuration, clock, disk, address and database, and says what to do."""
    sys.exit(run())


def run() -> int:
    """Prints what it finds on standard output; 1 when something has failed, else 0."""
    console, findings = Console(highlight=False), asyncio.run(_all())
    if console.is_terminal:
        console.print(table(findings))
    else:
        width = max(len(finding.check) for finding in findings)
        for finding in findings:
            remedy = f" -> {finding.remedy}" if finding.remedy else ""
            print(f"{finding.level.value:8}  {finding.check:{width}}  {finding.said}{remedy}")
    return int(any(finding.level is Level.FAILURE for finding in findings))


def table(findings: Sequence[Finding]) -> Table:
    """For people: what to do stands below what is so."""
    shown = Table.grid(padding=(0, 2))
    for finding in findings:
        said = Text(finding.said)
        if finding.remedy:
            said.append(f"\n→ {finding.remedy}", "bold")
        shown.add_row(Text(finding.level.value, _STYLES[finding.level]), finding.check, said)
    return shown


async def _all() -> list[Finding]:
    return [finding async for finding in _findings()]


async def _findings() -> AsyncIterator[Finding]:
    try:
        settings = config.load()
        providers_of(settings)
    except ConfigError as error:
        yield failure("configuration", str(error), "")
        return
    yield ok("configuration", f"readable, {len(settings.channels)} channels")
    for finding in checkup.clock():
        yield finding
    for check in (*checkup_secrets.LOCAL, *checkup.LOCAL):
        for finding in check(settings):
            yield finding
    for finding in await checkup.address(settings):
        yield finding
    try:
        settings = connected(settings)
    except ConfigError as error:
        yield failure("database", str(error), "")
        return
    async for finding in checkup_database.examine(settings):
        yield finding
