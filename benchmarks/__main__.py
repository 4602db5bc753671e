"""``python -m benchmarks``: the table, and the same under ``benchmarks/results/``."""

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer
import uvloop
from rich.console import Console

from benchmarks import apps, contenders, figures, machine, report, rounds
from benchmarks.traffic import known

RESULTS = Path(__file__).parent / "results" / "latest.json"


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    rounds_: Annotated[int, typer.Option("--rounds", min=1, help="Turns of each contender.")] = 5,
    seconds: Annotated[float, typer.Option(help="Counted seconds of a turn.")] = 4.0,
    warm_up: Annotated[float, typer.Option(help="Seconds before them.")] = 1.0,
    connections: Annotated[int, typer.Option(min=1, help="Callers at once.")] = 128,
    workers: Annotated[int, typer.Option(min=1, help="Web processes of each contender.")] = 1,
    messages: Annotated[int, typer.Option(min=2000, help="Messages that reports are about.")] = 60_000,
    few: Annotated[int, typer.Option(min=3, help="Events stored in the small database.")] = 50_000,
    many: Annotated[int, typer.Option(min=3, help="Events stored in the large one.")] = 5_000_000,
    sends: Annotated[int, typer.Option(min=1000, help="Messages that go through the sender.")] = 8_000,
    events: Annotated[int, typer.Option(min=200, help="Events that are forwarded.")] = 4_000,
    output: Annotated[Path, typer.Option(help="Where the JSON goes.")] = RESULTS,
) -> None:
    """Postback beside an echo and beside a session per request, on one Postgres that forgets nothing."""
    options = rounds.Options(
        rounds_, seconds, warm_up, connections, workers, messages, few, many, sends, events
    )
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        entries = runner.run(_measured(options, output))
    if not all(turn.counts for entry in entries for turn in entry.turns):
        sys.exit(1)


async def _measured(options: rounds.Options, output: Path) -> list[rounds.Entry]:
    console = Console()
    table = Console(width=max(console.width, 120))
    messages = known(options.messages)
    async with contenders.started(messages, workers=options.workers) as field:
        entries = rounds.entries(field, messages)
        at_rest = figures.memory(field, "at rest")
        with console.status("") as status:
            await rounds.play(entries, options, field.postgres_pid, lambda entry: status.update(entry.label))
            found = [
                *figures.of_rates(entries),
                await figures.open_loop(field, entries[2], options),
                *await figures.of_growth(field, messages, options, status.update),
                *await figures.of_sending(field, options, status.update),
                *await apps.measure(field, options, status.update),
                at_rest,
                figures.memory(field, "after full load"),
            ]
        made = report.as_dict(entries, found, options, machine.facts(contenders.SCRATCH), field.postgres)
    report.write(made, output)
    report.show(made, table)
    return entries


if __name__ == "__main__":
    app()
