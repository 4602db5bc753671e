"""``python -m faults``: the table, the same under ``faults/results/``, and in full in ``docs/faults.md``."""

import asyncio
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Annotated

import typer
import uvloop
from rich.console import Console

from benchmarks.machine import facts
from faults import report, rows
from faults.machine import ROOT, SCRATCH
from faults.rows import Result, Row, Run

RESULTS = Path(__file__).parent / "results" / "latest.json"
PAGE = ROOT / "docs" / "faults.md"

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    only: Annotated[list[str] | None, typer.Option(help="Rows by name; all of them unless given.")] = None,
    short: Annotated[
        bool, typer.Option("--short", help="A few seconds of each; nothing is published.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Decides what breaks when.")] = 1,
    listed: Annotated[bool, typer.Option("--list", help="The rows, and no more.")] = False,
    output: Annotated[Path | None, typer.Option(help="Where the JSON goes.")] = None,
) -> None:
    """Breaks a real installation in every way that it has to survive, and counts what is lost."""
    table = rows.every()
    if listed:
        for row in table:
            print(f"{row.name:14} {row.fault}: {row.must}")
        return
    unknown = set(only or ()) - {row.name for row in table}
    if unknown:
        raise typer.BadParameter(f"no such row: {', '.join(sorted(unknown))}", param_hint="--only")
    chosen = [row for row in table if not only or row.name in only]
    console = Console()
    results = [(row, *_tried(row, console, seed=seed, short=short)) for row in chosen]
    _published(results, console, seed=seed, short=short, output=output)
    if not all(result.holds for _, result, _ in results):
        sys.exit(1)


def _tried(row: Row, console: Console, *, seed: int, short: bool) -> tuple[Result, float]:
    """What came of *row*, and the seconds that it took; a row that breaks itself does not hold."""
    SCRATCH.mkdir(mode=0o700, exist_ok=True)
    began = perf_counter()
    with (
        tempfile.TemporaryDirectory(prefix="faults-", dir=SCRATCH) as scratch,
        console.status(row.name) as status,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):

        def progress(text: str) -> None:
            status.update(f"{row.name}: {text}")
            if not console.is_terminal:
                print(f"{row.name}: {text}", file=sys.stderr, flush=True)

        run = Run(row.name, seed, short, Path(scratch), progress)
        try:
            result = runner.run(_worked(row, run))
        except Exception as error:  # noqa: BLE001 - the other rows are tried all the same
            traceback.print_exc()
            result = Result(holds=False, notes=[f"the row broke off: {type(error).__name__}: {error}"])
        finally:
            run.close()
    return result, perf_counter() - began


async def _worked(row: Row, run: Run) -> Result:
    return await row.work(run)


def _published(
    results: Sequence[tuple[Row, Result, float]],
    console: Console,
    *,
    seed: int,
    short: bool,
    output: Path | None,
) -> None:
    made = report.as_dict(results, facts(SCRATCH), seed=seed, short=short)
    report.show(made, Console(width=max(console.width, 120)))
    if output or not short:
        made = report.merged(made, output or RESULTS)
        report.write(made, output or RESULTS)
    if not (output or short):
        report.publish(made, PAGE)


if __name__ == "__main__":
    app()
