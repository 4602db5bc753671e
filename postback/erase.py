"""``postback erase``: a number, removed everywhere."""

import asyncio
import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from postback.start import borrowed, checked, configured
from receiver import phone
from receiver.config import ConfigError, Settings
from receiver.erase import Busy, Erase, Report


def erase(
    number: Annotated[str, typer.Argument(help="In E.164 form, +12065550123, or a short code.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say where it stands.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask first.")] = False,
) -> None:
    """Removes a number everywhere: messages lose their words and files, and keep a masked number."""
    with borrowed(configured()) as settings:
        asyncio.run(checked(settings))
        try:
            sought = phone.parse(number, settings.default_region)
        except phone.InvalidNumber as error:
            raise ConfigError(f"{number} {error}.") from None
        if not (dry_run or yes):
            typer.confirm(f"Remove {sought} everywhere? Nobody can bring it back", abort=True, err=True)
        _print(asyncio.run(_run(settings, sought, dry=dry_run)), dry=dry_run)


async def _run(settings: Settings, number: str, *, dry: bool) -> Report:
    console = Console(stderr=True)
    shown = sys.stderr.isatty()
    with console.status("erasing") as status:
        try:
            return await Erase(settings, lambda text: status.update(text) if shown else None).run(
                number, dry=dry
            )
        except Busy as error:
            raise ConfigError(str(error)) from None


def _print(report: Report, *, dry: bool) -> None:
    table = Table("where", box=None, pad_edge=False)
    table.add_column("holds it" if dry else "removed or masked", justify="right")
    rows = dict(report.rows)
    if not dry:
        rows |= {
            "messages emptied": report.messages,
            "files": report.files,
            "spooled requests": report.spooled,
        }
    for name, number in sorted(rows.items()):
        table.add_row(name, f"{number:,}")
    Console().print(table)
