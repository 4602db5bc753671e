"""``postback janitor``: one run now, and what it did."""

import asyncio
import sys
from collections.abc import Iterator
from datetime import UTC, datetime

from rich import box
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn
from rich.table import Table

from postback.start import checked, configured, connected
from receiver.config import Retention, Settings
from receiver.janitor import Report
from receiver.janitor import run as run_janitor
from receiver.retention import DELIVERIES, IDEMPOTENCY, SWEEPS, TOGETHER, Kind

_RED = "red"


def janitor() -> None:
    """Makes the partitions ahead, removes what has been kept long enough, and says what that was."""
    settings = connected(configured())
    asyncio.run(checked(settings))
    sys.exit(run(settings))


def run(settings: Settings) -> int:
    """Prints the report on standard output; 0, or 1 where something is left that a person has to look at.

    Progress is shown where somebody looks on. Raises ``DatabaseError``.
    """
    console = Console(stderr=True)
    with Progress(
        SpinnerColumn(), TextColumn("{task.description}"), console=console, transient=True,
        disable=not sys.stderr.isatty(),
    ) as shown:  # fmt: skip
        task = shown.add_task("months", total=None)
        report = asyncio.run(
            run_janitor(
                settings,
                datetime.now(UTC),
                progress=lambda table, rows: shown.update(task, description=f"{table}: {rows:,} rows"),
            )
        )
    out = Console()
    out.print(table(report, settings.retention))
    for line in _remarks(report):
        out.print(line, style=_RED, soft_wrap=True, highlight=False)
    return 1 if report.astray or report.postponed else 0


def table(report: Report, retention: Retention) -> Table:
    """A row for each table that something is swept from."""
    shown = Table("table", "kept", box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("rows removed", "months dropped", "months made"):
        shown.add_column(heading, justify="right")
    kinds: dict[str, Kind] = {sweep.table: sweep.kind for sweep in SWEEPS}
    kinds |= {name: kind for names, kind in TOGETHER.items() for name in names}
    for name, kind in kinds.items():
        rows = report.rows.get(name)
        shown.add_row(
            name,
            _kept(kind, retention),
            "with its message" if name == "event" else f"{rows:,}" if rows is not None else "",
            str(sum(partition.table == name for partition in report.dropped) or ""),
            str(sum(partition.table == name for partition in report.made) or ""),
        )
    shown.add_row("files on disk", "", f"{report.files.files:,}", "", "")
    return shown


def _kept(kind: Kind, retention: Retention) -> str:
    fixed = {"idempotency": IDEMPOTENCY, "deliveries": DELIVERIES}
    days = fixed[kind] if kind in fixed else getattr(retention, kind)
    return f"{days} days" if days else "for ever"


def _remarks(report: Report) -> Iterator[str]:
    for partition, moved in report.made.items():
        if moved:
            yield f"{moved:,} rows of a missed month were moved to {partition.name}."
    for name, rows in report.astray.items():
        yield f"{rows:,} rows of {name} have ids of no month: is a clock wrong? `postback doctor` looks."
    for reason in report.postponed:
        yield f"{reason} The next run tries again."
